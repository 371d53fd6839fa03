/**
 * Interception that leaves packets as they are (TPROXY), in a namespace that stands for a workload's machine. Needs root,
 * iptables and iproute2.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { callHttp } from "@weft/testkit/http-call";
import { createNetworkNamespace, type NetworkNamespace } from "@weft/testkit/network-namespace";
import { type Program, weftEntry } from "@weft/testkit/processes";
import { interceptBootstrap } from "./bootstrap.ts";
import { asProxyUser } from "./proxy-user.ts";

const appPort = 8080;
const admin = 15021;
const stack = new AsyncDisposableStack();
let net: NetworkNamespace;
let folder: string;
let one: EchoServer;

const weft = (...args: string[]) => net.run(process.execPath, [weftEntry, ...args]);
/** The sidecar under its own user, with the one capability that transparent listeners take, or without. */
const startSidecar = async (capable = true): Promise<Program> => {
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(interceptBootstrap({ admin, tcpPort: 1, transparent: true })));
  const sidecar = net.start("setpriv", [
    ...asProxyUser,
    ...(capable ? ["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"] : []),
    ...[process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar", "--bootstrap", file],
  ]);
  if (capable) await sidecar.waitFor(/\bready\b/);
  return sidecar;
};
const applied = async (...flags: string[]): Promise<AsyncDisposable> => {
  const { code, stdout, stderr } = await weft("intercept", "apply", ...flags);
  assert.equal(code, 0, stdout + stderr);
  return { [Symbol.asyncDispose]: async () => void (await weft("intercept", "remove")) };
};
/** The mark of the sidecar a call to the application came through. */
const through = async (address: string): Promise<string | undefined> => {
  const { body } = await callHttp(address);
  return (JSON.parse(body) as { headers: Record<string, string> }).headers["x-through"];
};

before(async () => {
  net = stack.use(createNetworkNamespace());
  folder = mkdtempSync(join(tmpdir(), "weft-tproxy-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  one = stack.use(await startEchoServer("one", 0, net.outside.ipv4[0]));
  const program = join(import.meta.dirname, "../programs/echo.ts");
  const app = stack.use(net.start(process.execPath, [program, "app", String(appPort), "::"]));
  await app.waitFor(/^listening/);
});
after(() => stack.disposeAsync());

const traces = async (): Promise<string> => {
  const commands = [
    ["iptables-save"],
    ["ip6tables-save"],
    ["ip", "-4", "rule"],
    ["ip", "-6", "rule"],
    ["ip", "-6", "addr", "show", "dev", "lo"],
  ] as const;
  const parts = await Promise.all(commands.map(([command, ...args]) => net.run(command, args)));
  return parts.map(({ stdout }) => stdout).join("\n");
};
const ours = /WEFT|fwmark|::6\/128/;

test("rules, routes and addresses are applied, verified, mended, changed to the other mode, and removed", async () => {
  assert.doesNotMatch(await traces(), ours);
  const mode = ["--mode", "tproxy"];
  {
    await using _rules = await applied(...mode);
    const verified = await weft("intercept", "verify", ...mode);
    assert.equal(verified.code, 0, verified.stdout);
    const there = await traces();
    assert.match(there, /TPROXY --on-port 15006 --on-ip 0\.0\.0\.0/);
    assert.match(there, /TPROXY --on-port 15006 --on-ip ::/);
    assert.match(there, /fwmark 0x539 lookup 133/);
    assert.equal((await weft("intercept", "apply", ...mode)).code, 0, "again is harmless");
    await net.run("ip", ["rule", "del", "fwmark", "1337", "lookup", "133"]);
    const broken = await weft("intercept", "verify", ...mode);
    assert.equal(broken.code, 3);
    assert.match(broken.stdout, /^WF6005 ipv4 rule fwmark 1337 lookup 133: missing$/m);
    assert.equal((await weft("intercept", "apply", ...mode)).code, 0);
    assert.equal((await weft("intercept", "verify", ...mode)).code, 0);

    assert.equal((await weft("intercept", "verify")).code, 3, "the other mode is not in place");
    assert.equal((await weft("intercept", "apply")).code, 0);
    assert.equal((await weft("intercept", "verify")).code, 0);
    assert.doesNotMatch(await traces(), /TPROXY|fwmark/);
  }
  assert.doesNotMatch(await traces(), ours);
});

test("inbound connections of both families reach the application through the sidecar, and outbound ones leave by it", async () => {
  await using _sidecar = await startSidecar();
  const four = `${net.inside.ipv4}:${appPort}`;
  const six = `[${net.inside.ipv6}]:${appPort}`;
  assert.equal(await through(four), undefined);
  {
    await using _rules = await applied("--mode", "tproxy");
    assert.equal(await through(four), "inbound");
    assert.equal(await through(six), "inbound6");
    const out = await net.run("curl", ["-sS", "-m", "10", "--noproxy", "*", `http://${one.address}/`]);
    assert.match(out.stdout, /"x-through":"outbound"/, out.stderr);
    const loopback = await net.run("curl", ["-sS", "-m", "10", "--noproxy", "*", `http://127.0.0.1:${appPort}/`]);
    assert.doesNotMatch(loopback.stdout, /x-through/, "loopback is its own");
  }
  {
    await using _rules = await applied("--mode", "tproxy", "--exclude-inbound-ports", String(appPort));
    assert.equal(await through(four), undefined);
  }
});

test("without the capability the listener says what it lacks", async () => {
  await using sidecar = await startSidecar(false);
  await sidecar.waitFor(/WF5005.*CAP_NET_ADMIN/);
});

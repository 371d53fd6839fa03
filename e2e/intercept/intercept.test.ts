/**
 * Interception in a network namespace that stands for a workload's machine: programs in it know nothing of the sidecar,
 * their connections go through it all the same. Needs root and iptables; fails where it cannot have them.
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

/** The user and group the sidecar runs as, by custom. */
const appPort = 8080;
const admin = 15021;

const stack = new AsyncDisposableStack();
let net: NetworkNamespace;
let folder: string;
/** Servers in the world outside. */
let one: EchoServer;
let two: EchoServer;
let six: EchoServer;

const weft = (...args: string[]) => net.run(process.execPath, [weftEntry, ...args]);
const asProxy = (args: readonly string[]): Program =>
  net.start("setpriv", [
    ...asProxyUser,
    ...[process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar", ...args],
  ]);

interface Seen {
  readonly name: string;
  /** The mark of the sidecar it came through. */
  readonly through: string | undefined;
}

/** What a curl inside gets from an echo server, run as a user where one is given. */
const curl = async (
  url: string,
  options: { readonly uid?: number; readonly args?: readonly string[] } = {},
): Promise<Seen> => {
  const { uid, args = [] } = options;
  const command = ["curl", "-sS", "-m", "10", "--noproxy", "*", ...args, url];
  const { code, stdout, stderr } =
    uid === undefined
      ? await net.run("curl", command.slice(1))
      : await net.run("setpriv", ["--reuid", String(uid), "--regid", String(uid), "--clear-groups", ...command]);
  assert.equal(code, 0, `curl ${url}: ${stderr}`);
  return seenIn(stdout);
};
const seenIn = (body: string): Seen => {
  const { name, headers } = JSON.parse(body) as { name: string; headers: Record<string, string> };
  return { name, through: headers["x-through"] };
};
const urlOf = ({ address }: EchoServer, path = "/"): string => `http://${address}${path}`;

before(async () => {
  net = stack.use(createNetworkNamespace());
  folder = mkdtempSync(join(tmpdir(), "weft-intercept-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  one = stack.use(await startEchoServer("one", 0, net.outside.ipv4[0]));
  two = stack.use(await startEchoServer("two", 0, net.outside.ipv4[1]));
  six = stack.use(await startEchoServer("six", 0, net.outside.ipv6));
  for (const host of ["0.0.0.0", "::1"]) {
    const app = net.start(process.execPath, [
      join(import.meta.dirname, "../programs/echo.ts"),
      "app",
      String(appPort),
      host,
    ]);
    stack.use(app);
    await app.waitFor(/^listening/);
  }
});
after(() => stack.disposeAsync());

/** Applies rules for as long as a test runs. */
const applied = async (...flags: string[]): Promise<AsyncDisposable> => {
  const { code, stderr } = await weft("intercept", "apply", ...flags);
  assert.equal(code, 0, stderr);
  return { [Symbol.asyncDispose]: async () => void (await weft("intercept", "remove")) };
};

const startIntercepted = async (): Promise<Program> => {
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(interceptBootstrap({ admin, tcpPort: two.port })));
  const sidecar = asProxy(["--bootstrap", file]);
  await sidecar.waitFor(/\bready\b/);
  return sidecar;
};

const natRules = async (tool = "iptables-save"): Promise<string> => (await net.run(tool, ["-t", "nat"])).stdout;

test("rules are applied in one step, verified, harmless to apply again, and removed without a trace", async () => {
  assert.doesNotMatch(await natRules(), /WEFT/);
  assert.equal((await weft("intercept", "verify")).code, 3);
  {
    await using _rules = await applied();
    const verified = await weft("intercept", "verify");
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    const rules = await natRules();
    const hook = /-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j WEFT_OUTPUT/;
    assert.match(rules, hook);
    assert.match(await natRules("ip6tables-save"), hook);
    assert.equal((await weft("intercept", "apply")).code, 0);
    const withoutCounters = (text: string): string => text.replace(/^[#:].*$/gm, "");
    assert.equal(withoutCounters(await natRules()), withoutCounters(rules));

    await net.run("iptables", ["-t", "nat", "-D", "OUTPUT", "-p", "tcp", "--syn", "-j", "WEFT_OUTPUT"]);
    const broken = await weft("intercept", "verify");
    assert.equal(broken.code, 3);
    assert.match(
      broken.stdout,
      /^WF6005 ipv4 OUTPUT: wanted "-A OUTPUT -p tcp --syn -j WEFT_OUTPUT", found "nothing"/m,
    );
    assert.equal((await weft("intercept", "apply")).code, 0);
    assert.equal((await weft("intercept", "verify")).code, 0);
  }
  for (const tool of ["iptables-save", "ip6tables-save"]) assert.doesNotMatch(await natRules(tool), /WEFT/);
  assert.equal((await weft("intercept", "remove")).code, 0, "removing nothing is no error");
});

test("without root the rules cannot be had, and that is said", async () => {
  const { code, stderr } = await net.run("setpriv", [
    ...["--reuid", "65534", "--regid", "65534", "--clear-groups"],
    ...[process.execPath, weftEntry, "intercept", "apply"],
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /^WF6003 iptables-save failed: .*root/ms);
});

test("what is left out of the rules goes its own way: ports, CIDRs, owners", async () => {
  await using _sidecar = await startIntercepted();
  const direct = { through: undefined };
  const { through } = await curl(urlOf(one));
  assert.equal(through, undefined, "nothing is intercepted before the rules");
  {
    await using _rules = await applied("--exclude-ports", String(one.port));
    assert.deepEqual(await curl(urlOf(one)), { name: "one", ...direct });
    assert.deepEqual(await curl(urlOf(six)), { name: "six", through: "outbound" });
  }
  {
    await using _rules = await applied("--exclude-cidrs", `${net.outside.ipv4[0]}/32,${net.outside.ipv6}/128`);
    assert.deepEqual(await curl(urlOf(one)), { name: "one", ...direct });
    assert.deepEqual(await curl(urlOf(six)), { name: "six", ...direct });
    assert.deepEqual(await curl(`http://${net.outside.ipv4[0]}:${one.port}/`), { name: "one", ...direct });
  }
  {
    await using _rules = await applied("--include-cidrs", `${net.outside.ipv4[1]}/32`);
    assert.deepEqual(await curl(urlOf(one)), { name: "one", ...direct });
  }
  {
    await using _rules = await applied("--exclude-uids", "2000");
    assert.deepEqual(await curl(urlOf(one), { uid: 2000 }), { name: "one", ...direct });
    assert.deepEqual(await curl(urlOf(one), { uid: 2001 }), { name: "one", through: "outbound" });
  }
  {
    await using _rules = await applied("--include-ports", String(six.port));
    assert.deepEqual(await curl(urlOf(one)), { name: "one", ...direct });
    assert.deepEqual(await curl(urlOf(six)), { name: "six", through: "outbound" });
  }
});

test("outbound connections of an unaware program go through the sidecar to where they were going", async () => {
  await using sidecar = await startIntercepted();
  await using _rules = await applied();
  assert.deepEqual(await curl(urlOf(one)), { name: "one", through: "outbound" });
  assert.deepEqual(await curl(urlOf(six)), { name: "six", through: "outbound" });
  // Its port has a chain of its own: bytes as they are.
  assert.deepEqual(await curl(urlOf(two)), { name: "two", through: undefined });
  const { stdout: stats } = await net.run("curl", ["-s", `http://127.0.0.1:${admin}/stats?filter=^tcp`]);
  assert.match(stats, /tcp\.tcp\.downstream_cx_total: 1/);
  assert.deepEqual(
    await curl(`http://127.0.0.1:${appPort}/`),
    { name: "app", through: undefined },
    "loopback is its own",
  );
  sidecar.kill("SIGTERM");
  assert.equal(await sidecar.exited, 0);
});

test("inbound connections go through the sidecar to the application", async () => {
  await using _sidecar = await startIntercepted();
  const target = `${net.inside.ipv4}:${appPort}`;
  const ask = async (): Promise<Seen> => seenIn((await callHttp(target)).body);
  assert.deepEqual(await ask(), { name: "app", through: undefined });
  {
    await using _rules = await applied();
    assert.deepEqual(await ask(), { name: "app", through: "inbound" });
  }
  {
    await using _rules = await applied("--exclude-inbound-ports", String(appPort));
    assert.deepEqual(await ask(), { name: "app", through: undefined });
  }
  assert.deepEqual(await ask(), { name: "app", through: undefined });
});

/**
 * Interception by TPROXY where the application sees its clients' own addresses: our sidecar and stock Envoy on the same
 * bootstrap under the same rules. Needs root, iptables and iproute2.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { createNetworkNamespace, type NetworkNamespace } from "@weft/testkit/network-namespace";
import { type Program, weftEntry } from "@weft/testkit/processes";
import { interceptBootstrap } from "./bootstrap.ts";
import { asProxyUser } from "./proxy-user.ts";

const mark = 1337;
const appPort = 8080;
const admin = 15_021;
const stack = new AsyncDisposableStack();
let net: NetworkNamespace;
let file = "";

const weft = (...args: string[]) => net.run(process.execPath, [weftEntry, ...args]);

const proxies = {
  weft: () => [process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar", "--bootstrap", file],
  envoy: () => [envoyPath, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
} as const satisfies Readonly<Record<string, () => readonly string[]>>;

/** A proxy under its own user, with the one capability that transparent sockets take, once it is ready. */
const startProxy = async (name: keyof typeof proxies): Promise<Program> => {
  const program = net.start("setpriv", [
    ...asProxyUser,
    ...["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"],
    ...proxies[name](),
  ]);
  await eventually(`${name} is ready`, async () => {
    const { stdout } = await net.run("curl", ["-s", "--noproxy", "*", `http://127.0.0.1:${admin}/ready`]);
    return stdout.startsWith("LIVE") || undefined;
  });
  return program;
};

before(async () => {
  net = stack.use(createNetworkNamespace());
  const folder = mkdtempSync(join(tmpdir(), "weft-original-source-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  file = join(folder, "bootstrap.json");
  const bootstrap = interceptBootstrap({ admin, tcpPort: 1, transparent: true, originalSourceMark: mark });
  writeFileSync(file, JSON.stringify(bootstrap));
  const program = join(import.meta.dirname, "../programs/echo.ts");
  const app = stack.use(net.start(process.execPath, [program, "app", String(appPort), "::"]));
  await app.waitFor(/^listening/);
});
after(() => stack.disposeAsync());

/** What came between, and where the application saw the connection come from. */
const seenOf = async (host: string): Promise<readonly [through: string | undefined, from: string]> => {
  const { body, headers } = await callHttp(`${host}:${appPort}`, { path: "/peer" });
  const request = JSON.parse(body) as { readonly headers: Readonly<Record<string, string>> };
  return [request.headers["x-through"], String(headers["x-peer"]).replace(/^::ffff:/, "")];
};

for (const name of Object.keys(proxies) as (keyof typeof proxies)[]) {
  test(`${name} passes connections on from their client's address, IPv4 and IPv6`, { timeout: 60_000 }, async () => {
    await using _proxy = await startProxy(name);
    const applied = await weft("intercept", "apply", "--mode", "tproxy");
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
    try {
      const verified = await weft("intercept", "verify", "--mode", "tproxy");
      assert.equal(verified.code, 0, verified.stdout);
      // Several, so that connections are opened while others of the same client stand.
      for (let i = 0; i < 3; i++) {
        const four = await Promise.all(Array.from({ length: 5 }, () => seenOf(net.inside.ipv4)));
        for (const seen of four) assert.deepEqual(seen, ["inbound", net.outside.ipv4[0]]);
        // Between a chain for all of IPv6 and one for everything Envoy takes the latter.
        const [through, from] = await seenOf(`[${net.inside.ipv6}]`);
        assert.match(through ?? "", /^inbound6?$/);
        assert.equal(from, net.outside.ipv6);
      }
      const own = await net.run("curl", ["-sS", "-m", "10", "--noproxy", "*", `http://127.0.0.1:${appPort}/`]);
      assert.doesNotMatch(own.stdout, /x-through/, "loopback is its own");
    } finally {
      await weft("intercept", "remove");
    }
    assert.deepEqual(await seenOf(net.inside.ipv4), [undefined, net.outside.ipv4[0]]);
  });
}

/** Two workloads that know nothing of their sidecars, in namespaces joined by IPv6 alone, under a real control plane. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { createNetworkNamespace, joinNamespaces, type NetworkNamespace } from "@weft/testkit/network-namespace";
import { type Program, weftEntry } from "@weft/testkit/processes";
import { asProxyUser, fillForProxy } from "./proxy-user.ts";

const appPort = 8080;
const otherPort = 9090;
const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

interface Workload {
  readonly name: string;
  readonly net: NetworkNamespace;
  readonly ip: string;
  readonly mode: "REDIRECT" | "TPROXY";
}

/** Applies the rules, then starts the sidecar as its own user with its files where that user may read them. */
const intercept = async (cp: TestControlPlane, { name, net, ip, mode }: Workload): Promise<Program> => {
  const folder = join(cp.folder, `sidecar-${name}`);
  chmodSync(cp.folder, 0o755);
  fillForProxy(folder, cp);
  const applied = await net.run(process.execPath, [...[weftEntry, "intercept", "apply", "--mode", mode.toLowerCase()]]);
  assert.equal(applied.code, 0, applied.stderr);
  const port = cp.secure.slice(cp.secure.lastIndexOf(":") + 1);
  return net.start("setpriv", [
    ...asProxyUser,
    ...(mode === "TPROXY" ? ["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"] : []),
    ...[process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar"],
    ...["--cp", `${net.outside.ipv4[0]}:${port}`, "--name", name, "--ip", ip, "--interception", mode],
    ...["--root-cert", join(folder, "root-cert.pem"), "--token-file", join(folder, "join-token")],
    ...["--admin", "127.0.0.1:15000", "--outbound", "127.0.0.1:15001", "--data", join(folder, "data")],
  ]);
};

for (const mode of ["REDIRECT", "TPROXY"] as const) {
  test(`calls over IPv6 go with mTLS from one intercepted workload to another, inbound by ${mode}`, {
    timeout: 85_000,
  }, async () => {
    await using stack = new AsyncDisposableStack();
    const [webNet, appNet] = [stack.use(createNetworkNamespace()), stack.use(createNetworkNamespace())];
    const [webIp, appIp] = joinNamespaces(webNet, appNet);
    const folder = mkdtempSync(join(tmpdir(), "weft-ipv6-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const cp = stack.use(
      await startControlPlane({
        folder,
        addresses: { xds: "127.0.0.1:0", secure: "0.0.0.0:0", http: "127.0.0.1:0" },
      }),
    );
    const program = join(import.meta.dirname, "../programs/echo.ts");
    for (const [name, port] of [
      ["app", appPort],
      ["other", otherPort],
    ] as const) {
      const app = stack.use(appNet.start(process.execPath, [program, name, String(port), "::"]));
      await app.waitFor(/^listening/);
    }
    await cp.api("PUT", "/v1/registry/app/instances/app", {
      ...{ address: appIp, port: appPort, portName: "http", protocol: "http", servicePort: 80 },
      ...{ serviceAccount: "app", ttlSeconds: 600, metadata: { "security.istio.io/tlsMode": "istio" } },
    });
    const sidecars = await Promise.all([
      intercept(cp, { name: "app", net: appNet, ip: appIp, mode }),
      intercept(cp, { name: "web", net: webNet, ip: webIp, mode: "REDIRECT" }),
    ]);
    for (const sidecar of sidecars) {
      stack.use(sidecar);
      await sidecar.waitFor(/\bready\b.*admin=/);
    }

    const curl = (...args: string[]) => webNet.run("curl", ["-sS", "-g", "-m", "10", "--noproxy", "*", ...args]);
    const byName = await eventually("web reaches the application by its name", async () => {
      const { stdout } = await curl(`http://[${appIp}]:80/`, "-H", "Host: app");
      return stdout.startsWith("{") ? stdout : undefined;
    });
    assert.match(byName, /"name":"app"/);
    assert.match(byName, /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/web/);

    const unknown = stack.use(await startEchoServer("unknown", 0, webNet.outside.ipv6));
    assert.match((await curl(`http://${unknown.address}/`)).stdout, /"name":"unknown"/, "passed on by web's sidecar");
    const other = await callHttp(`[${appNet.inside.ipv6}]:${otherPort}`);
    assert.match(other.body, /"name":"other"/, "passed on by the application's sidecar");
    const plain = `[${appNet.inside.ipv6}]:${appPort}`;
    assert.match((await callHttp(plain)).body, /"name":"app"/, "PERMISSIVE takes plaintext");

    await cp.apply(strict);
    await eventually("STRICT refuses plaintext over IPv6", () =>
      callHttp(plain).then(
        () => undefined,
        () => true,
      ),
    );
    assert.match((await curl(`http://[${appIp}]:80/`, "-H", "Host: app")).stdout, /"name":"app"/);
  });
}

/** Interception under a real control plane: a workload's machine as a namespace, its sidecar configured by xDS. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { weftEntry } from "@weft/testkit/processes";
import { startSidecar } from "@weft/testkit/sidecar";
import { asProxyUser, proxyFolder } from "./proxy-user.ts";

const appPort = 8080;

const external = (address: string, port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external}
spec:
  hosts: [external.example]
  addresses: [${address}]
  ports: [{number: ${port}, name: http, protocol: HTTP}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{address: ${address}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: external}
spec:
  hosts: [external.example]
  http:
    - route: [{destination: {host: external.example}}]
      headers: {request: {set: {x-through: mesh}}}
`;
const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

test("unaware programs call and are called through a sidecar that the control plane configures", {
  timeout: 85_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const net = stack.use(createNetworkNamespace());
  const [world] = net.outside.ipv4;
  const outside = stack.use(await startEchoServer("external", 0, world));
  const free = async (): Promise<string> => `${world}:${await findFreePort(world, 0)}`;
  const cp = stack.use(
    await startControlPlane({
      yaml: external(world, outside.port),
      addresses: { xds: "127.0.0.1:0", secure: await free(), http: "127.0.0.1:0" },
    }),
  );
  const folder = proxyFolder(stack, cp);
  const app = stack.use(
    net.start(process.execPath, [join(import.meta.dirname, "../programs/echo.ts"), "app", String(appPort), "0.0.0.0"]),
  );
  await app.waitFor(/^listening/);
  await cp.api("PUT", "/v1/registry/app/instances/app", {
    ...{ address: net.inside.ipv4, port: appPort, portName: "http", protocol: "http", servicePort: 80 },
    ...{ serviceAccount: "app", ttlSeconds: 600, metadata: { "security.istio.io/tlsMode": "istio" } },
  });

  const weft = (...args: string[]) => net.run(process.execPath, [weftEntry, ...args]);
  const sidecar = stack.use(
    net.start("setpriv", [
      ...asProxyUser,
      ...[process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar"],
      ...["--cp", cp.secure, "--root-cert", join(folder, "root-cert.pem"), "--token-file", join(folder, "join-token")],
      ...["--name", "app", "--ip", net.inside.ipv4, "--interception", "REDIRECT", "--admin", "127.0.0.1:15000"],
      ...["--outbound", "127.0.0.1:15001", "--data", join(folder, "data")],
    ]),
  );
  await sidecar.waitFor(/\bready\b.*admin=/);
  // The sidecar's connection to the control plane is there already, and outlives this.
  const { code, stderr } = await weft("intercept", "apply");
  assert.equal(code, 0, stderr);

  // Outbound: by the service entry's address and port; what no configuration names goes where it was going.
  const curl = async (...args: string[]): Promise<{ name: string; headers: Record<string, string> }> => {
    const result = await net.run("curl", ["-sS", "-m", "10", "--noproxy", "*", ...args]);
    assert.equal(result.code, 0, result.stderr);
    return JSON.parse(result.stdout) as { name: string; headers: Record<string, string> };
  };
  const named = await curl(`http://${world}:${outside.port}/`, "-H", "Host: external.example");
  assert.deepEqual([named.name, named.headers["x-through"]], ["external", "mesh"]);
  const other = stack.use(await startEchoServer("unknown", 0, world));
  assert.equal((await curl(`http://${world}:${other.port}/`)).name, "unknown");

  // Inbound: a mesh caller arrives with mTLS at the application's own port.
  const web = stack.use(await startSidecar(cp, { name: "web" }));
  const { body } = await eventually("web reaches the application", async () => {
    const answer = await callHttp(web.outbound, { host: "app" });
    return answer.status === 200 ? answer : undefined;
  });
  assert.match(body, /"name":"app"/);
  assert.match(body, /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/web/);
  const plain = `${net.inside.ipv4}:${appPort}`;
  assert.equal((await callHttp(plain)).status, 200, "PERMISSIVE takes plaintext");
  await cp.apply(strict);
  await eventually("STRICT refuses plaintext", () =>
    callHttp(plain).then(
      () => undefined,
      () => true,
    ),
  );
  assert.equal((await callHttp(web.outbound, { host: "app" })).status, 200);
  assert.equal((await weft("intercept", "remove")).code, 0);
  assert.equal((await callHttp(plain)).status, 200, "without the rules nobody is in between");
});

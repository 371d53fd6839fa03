/** Retries nobody wrote, in traffic: what may be executed twice is repeated, what may not is not; Envoy does the same. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp, type HttpCall } from "@weft/testkit/http-call";
import { startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { startSidecar } from "@weft/testkit/sidecar";

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let clients: readonly (readonly [name: string, address: string])[];
/** Few retries are made at one host in ten seconds: each question has a host of its own. */
const hosts = ["app.example", "put.example", "post.example", "again.example", "first.example", "written.example"];
/** How often the application was asked. */
let asked = 0;

before(async () => {
  const app = createServer((request, response) => {
    asked++;
    request.resume();
    response.statusCode = request.url === "/fails" ? 503 : 200;
    response.end();
  });
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    app.closeAllConnections();
    app.close();
  });
  const at = app.address();
  const port = at !== null && typeof at === "object" ? at.port : 0;
  const yaml = hosts
    .map(
      (host) => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${host} }
spec:
  hosts: [${host}]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: ${port} } }]
`,
    )
    .join("");
  const written = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: written }
spec:
  hosts: [written.example]
  http: [{ route: [{ destination: { host: written.example } }], retries: { attempts: 1, retryOn: 5xx } }]
`;
  cp = stack.use(await startControlPlane({ yaml: yaml + written }));
  const outboundPort = await findFreePort("127.0.0.1", 0);
  stack.use(await startMeshEnvoy(cp, { name: "client-e", service: "client" }, { mode: "GRPC", outboundPort }));
  const sidecar = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] }));
  clients = [
    ["envoy", `127.0.0.1:${outboundPort}`],
    ["weft", sidecar.outbound],
  ];
  for (const [name, address] of clients)
    await eventually(`${name} serves`, async () =>
      (await callHttp(address, { host: "written.example" }).catch(() => undefined))?.status === 200 ? true : undefined,
    );
});

after(() => stack.disposeAsync());

const timesAsked = async (address: string, call: HttpCall): Promise<number> => {
  asked = 0;
  const { status } = await callHttp(address, { host: "app.example", path: "/fails", ...call });
  assert.equal(status, 503);
  return asked;
};

test("a failed GET is repeated twice, a failed POST never, and a retry of the hop before is not multiplied", async () => {
  for (const [name, address] of clients) {
    assert.equal(await timesAsked(address, { method: "GET" }), 3, name);
    assert.equal(await timesAsked(address, { host: "put.example", method: "PUT", body: "x" }), 3, name);
    assert.equal(await timesAsked(address, { host: "post.example", method: "POST", body: "x" }), 1, name);
    const again = { host: "again.example", headers: { "x-envoy-attempt-count": "2" } };
    assert.equal(await timesAsked(address, again), 1, name);
    const first = { host: "first.example", headers: { "x-envoy-attempt-count": "1" } };
    assert.equal(await timesAsked(address, first), 3, name);
  }
});

test("what somebody wrote holds, also for a POST and for a retry of the hop before", async () => {
  for (const [name, address] of clients) {
    const again = { host: "written.example", method: "POST", body: "x", headers: { "x-envoy-attempt-count": "2" } };
    assert.equal(await timesAsked(address, again), 2, name);
  }
});

test("profile istio: the server's own 503 is never repeated", async () => {
  await cp.apply(`
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: { name: mesh, namespace: istio-system }
spec: { profile: istio }
`);
  for (const [name, address] of clients)
    await eventually(`${name} has Istio's retries`, async () =>
      (await timesAsked(address, { method: "GET" })) === 1 ? true : undefined,
    );
});

/** A workload with MeshDefaults.adaptiveConcurrency: what a slow application cannot answer well is turned away, with a reason. */
import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp, type HttpAnswer } from "@weft/testkit/http-call";
import { startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const defaults = `
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: { name: mesh, namespace: istio-system }
spec: { adaptiveConcurrency: { enabled: true, minLimit: 2 }, reasonHeader: "on" }
`;

const stack = new AsyncDisposableStack();
const held: ServerResponse[] = [];
let cp: TestControlPlane;
let sidecar: TestSidecar;
/** Where a stock Envoy takes requests for the same application. */
let envoyPort = 0;

before(async () => {
  const app = createServer((request, response) => {
    if (request.url === "/slow") held.push(response);
    else response.end("quick");
  });
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    app.closeAllConnections();
    app.close();
  });
  const at = app.address();
  cp = stack.use(await startControlPlane({ yaml: defaults }));
  const appPort = at !== null && typeof at === "object" ? at.port : 0;
  envoyPort = await findFreePort("127.0.0.1", 0);
  const workload = { name: "app-e", service: "app", inbound: { port: envoyPort, appPort } };
  const outboundPort = await findFreePort("127.0.0.1", 0);
  stack.use(await startMeshEnvoy(cp, workload, { mode: "GRPC", outboundPort }));
  // A listener that changes counts anew, and this one would change as it becomes known as a service's.
  const args = ["--log-level", "warn"];
  sidecar = stack.use(await startSidecar(cp, { name: "app", appPort, register: false, args }));
});

after(() => stack.disposeAsync());

/** The answer to one request more than the limit, after which all are answered again. */
const overLimit = async (address: string): Promise<HttpAnswer> => {
  await eventually(`${address} serves`, async () =>
    (await callHttp(address).catch(() => undefined))?.status === 200 ? true : undefined,
  );
  const slow: Promise<HttpAnswer>[] = [callHttp(address, { path: "/slow" }), callHttp(address, { path: "/slow" })];
  await eventually("the application has two requests", () => (held.length === 2 ? true : undefined));
  const refused = await callHttp(address);
  for (const response of held.splice(0)) response.end("late");
  assert.deepEqual(
    (await Promise.all(slow)).map(({ status }) => status),
    [200, 200],
  );
  assert.equal((await callHttp(address)).status, 200);
  return refused;
};

test("beyond the limit requests are turned away at once, and when the application is done they are taken again", async () => {
  const refused = await overLimit(`127.0.0.1:${sidecar.port}`);
  assert.deepEqual([refused.status, refused.body], [503, "reached concurrency limit"]);
  assert.match(refused.headers["x-weft-reason"] ?? "", /^WF5064 .*MeshDefaults/);
});

test("a stock Envoy is given the same limit", async () => {
  const refused = await overLimit(`127.0.0.1:${envoyPort}`);
  assert.deepEqual([refused.status, refused.body], [503, "reached concurrency limit"]);
});

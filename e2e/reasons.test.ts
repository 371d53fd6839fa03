/** Why a proxy answered, in `x-weft-reason`: told to the workload itself and to mesh peers, to nobody else. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const yaml = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: empty }
spec:
  hosts: [empty.example]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: nobody }
spec: { host: empty.example, trafficPolicy: { outlierDetection: { interval: 5s } } }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-secrets }
spec: { selector: { matchLabels: { app: app } }, action: DENY, rules: [{ to: [{ operation: { paths: [/secret] } }] }] }
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let app: TestSidecar;
let client: TestSidecar;

before(async () => {
  const echo = stack.use(await startEchoServer("v1"));
  cp = stack.use(await startControlPlane({ yaml }));
  app = stack.use(await startSidecar(cp, { name: "app", appPort: echo.port, args: ["--log-level", "warn"] }));
  client = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] }));
  await eventually("the client reaches the app", async () =>
    (await callHttp(client.outbound, { host: "app" }).catch(() => undefined))?.status === 200 ? true : undefined,
  );
});

after(() => stack.disposeAsync());

const reasonOf = async (address: string, call: { readonly host?: string; readonly path?: string }) => {
  const { status, headers } = await callHttp(address, call);
  return [status, headers["x-weft-reason"]];
};

test("the caller's own proxy names the code, the cluster and the rule behind it", async () => {
  assert.deepEqual(await reasonOf(client.outbound, { host: "empty.example" }), [
    503,
    "WF5044 no healthy endpoint; cluster outbound|80||empty.example; DestinationRule default/nobody",
  ]);
});

test("a denial names its policy and rule to a caller of the mesh, and to no other", async () => {
  assert.deepEqual(await reasonOf(client.outbound, { host: "app", path: "/secret" }), [
    403,
    "WF5041 an AuthorizationPolicy denies the request; AuthorizationPolicy default/no-secrets rule 0",
  ]);
  assert.deepEqual(await reasonOf(`127.0.0.1:${app.port}`, { path: "/secret" }), [403, undefined]);
});

test("an answer of the application has no reason", async () => {
  assert.deepEqual(await reasonOf(client.outbound, { host: "app" }), [200, undefined]);
});

test("MeshDefaults turns it off", async () => {
  await cp.apply(`
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: { name: mesh, namespace: istio-system }
spec: { profile: istio }
`);
  await eventually("no reason is told", async () => {
    const [status, reason] = await reasonOf(client.outbound, { host: "empty.example" });
    return status === 503 && reason === undefined ? true : undefined;
  });
});

/** What one sidecar's active checks find reaches the control plane, and from there those that do not check. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const config = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: checks}
spec:
  workloadSelector: {labels: {app: checker}}
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: app.default.svc.cluster.local}}
    patch:
      operation: MERGE
      value:
        health_checks:
        - {timeout: 1s, interval: 0.1s, no_traffic_interval: 0.1s, unhealthy_threshold: 1, healthy_threshold: 1,
           http_health_check: {path: /ready}}
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let other: TestSidecar;
let sick = false;
const names = ["one", "two"] as const;

const startApp = async (name: string): Promise<number> => {
  const server: Server = createServer(({ url }, response) => {
    response.writeHead(url === "/ready" && name === "two" && sick ? 503 : 200).end(name);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
};

before(async () => {
  cp = stack.use(await startControlPlane({ yaml: config }));
  for (const id of names) {
    const port = await startApp(id);
    await registerInstance(cp, { service: "app", id, port, appPort: port, mesh: false });
  }
  stack.use(await startSidecar(cp, { name: "checker" }));
  other = stack.use(await startSidecar(cp, { name: "other" }));
});
after(() => stack.disposeAsync());

interface Endpoint {
  readonly workload: string;
  readonly health: string;
  readonly sentAs: string;
  readonly proxies?: { readonly checking: number; readonly failing: number; readonly reasons: object };
}
const second = async (): Promise<Endpoint | undefined> => {
  const path = "/v1/registry/app/endpoints?namespace=default";
  const { items } = (await cp.api("GET", path)) as { readonly items: readonly Endpoint[] };
  return items.find(({ workload }) => workload === "two");
};
const flagsAt = async ({ admin }: TestSidecar): Promise<readonly string[]> => {
  const text = await (await fetch(`http://${admin}/clusters`)).text();
  const lines = text.matchAll(/^outbound\|80\|\|app\.default\.svc\.cluster\.local::\S+::health_flags::(\S+)$/gm);
  return [...lines].map(([, flags = ""]) => flags).sort();
};
const answers = async (): Promise<readonly string[]> => {
  const seen = new Set<string>();
  for (let i = 0; i < 20; i++) seen.add((await callHttp(other.outbound, { host: "app" })).body.toString());
  return [...seen].sort();
};
const waitMs = 40_000;

test("an endpoint whose checks fail is sent as unhealthy to who does not check, and comes back", async () => {
  const isSeen = async () => ((await second())?.proxies?.checking === 1 ? true : undefined);
  await eventually("the checks are reported", isSeen, waitMs);
  assert.deepEqual(await answers(), ["one", "two"]);
  sick = true;
  await eventually("it is sent as unhealthy", async () => (await second())?.sentAs === "unhealthy", waitMs);
  const { health, proxies } = (await second()) as Endpoint;
  assert.equal(health, "healthy");
  assert.deepEqual(proxies?.reasons, { failed_active_hc: 1 });
  await eventually("the other one heard", async () => (await flagsAt(other)).join() === "/failed_eds_health,healthy");
  assert.deepEqual(await answers(), ["one"]);
  sick = false;
  await eventually("it is sent as healthy", async () => (await second())?.sentAs === "healthy", waitMs);
  await eventually("all use it", async () => (await flagsAt(other)).join() === "healthy,healthy");
  assert.deepEqual(await answers(), ["one", "two"]);
});

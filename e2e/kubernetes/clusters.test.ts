/** Two real API servers as registries of one control plane, side by side and one without the other. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { defineKinds } from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
let east: RealApiServer;
let west: RealApiServer;
let cp: TestControlPlane;
before(async () => {
  [east, west] = (await Promise.all([startApiServer(), startApiServer()])) as [RealApiServer, RealApiServer];
  stack.use(east);
  stack.use(west);
  for (const cluster of [east, west]) {
    await cluster.apply("/api/v1/namespaces", { metadata: { name: "shop" } });
    await defineKinds(cluster, ["VirtualService"]);
  }
  const url = ({ kubeconfig }: RealApiServer, name: string) => `kubernetes://?kubeconfig=${kubeconfig}&name=${name}`;
  cp = stack.use(await startControlPlane({ args: ["--registry", url(east, "east"), "--registry", url(west, "west")] }));
});
after(() => stack.disposeAsync());

const service = (cluster: RealApiServer, name: string, port: object = { name: "http", port: 80 }) =>
  cluster.apply("/api/v1/namespaces/shop/services", { metadata: { name }, spec: { ports: [port] } });
const slice = (cluster: RealApiServer, of: string, addresses: readonly string[]) =>
  cluster.apply("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", {
    metadata: { name: `${of}-a`, labels: { "kubernetes.io/service-name": of } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  });
const addressesBecome = (name: string, wanted: string) =>
  eventually(
    `${name} has ${wanted}`,
    async () => {
      const path = `/v1/registry/${name}/endpoints?namespace=shop`;
      const { items } = (await cp.api("GET", path)) as { items: readonly { address: string }[] };
      const now = items.map(({ address }) => address).sort();
      if (now.join(" ") !== wanted) throw new Error(`it has ${now.join(" ")}`);
      return true;
    },
    30_000,
  );
interface Source {
  readonly name: string;
  readonly state: string;
  readonly ageSeconds: number;
}
const source = async (name: string): Promise<Source> => {
  const { items } = (await cp.api("GET", "/v1/registries")) as { items: readonly Source[] };
  return items.find((one) => one.name === name) ?? assert.fail(name);
};
const stateBecomes = (name: string, wanted: string) =>
  eventually(
    `${name} is ${wanted}`,
    async () => {
      const found = await source(name);
      return found.state === wanted ? found : undefined;
    },
    30_000,
  );
const findings = async () =>
  ((await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string; file: string }[] }).items;
const found = (code: string, text: string) =>
  eventually(`${code} ${text}`, async () =>
    (await findings()).find((one) => one.code === code && one.message.includes(text)),
  );
const route = (cluster: RealApiServer, status: number) =>
  cluster.apply("/apis/networking.istio.io/v1/namespaces/shop/virtualservices", {
    ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "same" } },
    spec: { hosts: ["same.example"], http: [{ directResponse: { status } }] },
  });
const routeBecomes = (status: number) =>
  eventually(`the route of ${status} is in force`, async () => {
    const stored = (await cp.api("GET", "/v1/config/virtualservice/shop/same")) as {
      spec: { http: [{ directResponse: { status: number } }] };
    };
    return stored.spec.http[0].directResponse.status === status;
  });

test("a service of both has the endpoints of both, and what they differ in is told", async () => {
  await service(east, "both");
  await slice(east, "both", ["10.1.0.1"]);
  await service(west, "both", { name: "http", port: 80, appProtocol: "grpc" });
  await slice(west, "both", ["10.2.0.1"]);
  await addressesBecome("both", "10.1.0.1 10.2.0.1");
  await found("WF8020", "port 80 is http for east and grpc for west");
  await service(west, "both");
  await eventually("they agree", async () => (await findings()).every(({ code }) => code !== "WF8020"));
  await slice(west, "both", ["10.2.0.1", "10.2.0.2"]);
  await addressesBecome("both", "10.1.0.1 10.2.0.1 10.2.0.2");
});

test("an object that both have is the first one's, which is told, until the first has it no more", async () => {
  await route(west, 202);
  await routeBecomes(202);
  await route(east, 201);
  await routeBecomes(201);
  await found("WF2156", "has the same name and goes before it");
  await east.delete("/apis/networking.istio.io/v1/namespaces/shop/virtualservices/same");
  await routeBecomes(202);
});

test("a cluster that is away stays as it was and grows old, and the other goes on", { timeout: 120_000 }, async () => {
  await west.kill();
  await stateBecomes("west", "lost");
  await slice(east, "both", ["10.1.0.1", "10.1.0.9"]);
  await addressesBecome("both", "10.1.0.1 10.1.0.9 10.2.0.1 10.2.0.2");
  await found("WF2158", "out of reach");
  await eventually("its age is told", async () => (await source("west")).ageSeconds > 0);
  assert.deepEqual([(await source("east")).state, (await source("east")).ageSeconds], ["live", 0]);
  await routeBecomes(202);
  await west.restart();
  await stateBecomes("west", "live");
  await slice(west, "both", ["10.2.0.7"]);
  await addressesBecome("both", "10.1.0.1 10.1.0.9 10.2.0.7");
});

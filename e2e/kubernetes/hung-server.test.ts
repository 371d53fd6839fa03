/** An API server that hangs with open watches: noticed by a probe, told with its age, and left for whoever answers. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Relay, startRelay } from "../registries/relay.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

/** In place of 30 s; half as long is left for the answer. Silent watches alone are noticed after 90 s. */
const probeAfterMs = 2_000;
const soonMs = 20_000;

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let relay: Relay;
let cp: TestControlPlane;
before(async () => {
  cluster = stack.use(await startApiServer());
  await cluster.apply("/api/v1/namespaces", { metadata: { name: "shop" } });
  relay = stack.use(await startRelay(new URL(cluster.url).host));
  const kubeconfig = cluster.adminKubeconfig("relayed", `https://${relay.address}`);
  const url = `kubernetes://?kubeconfig=${kubeconfig}&probe-after-ms=${probeAfterMs}`;
  cp = stack.use(await startControlPlane({ args: ["--registry", url] }));
});
after(() => stack.disposeAsync());

const slice = async (service: string, addresses: readonly string[]): Promise<void> => {
  await cluster.apply("/api/v1/namespaces/shop/services", {
    metadata: { name: service },
    spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  });
  await cluster.apply("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", {
    metadata: { name: `${service}-a`, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  });
};
const addresses = async (service: string): Promise<string> => {
  const path = `/v1/registry/${service}/endpoints?namespace=shop`;
  const { items } = (await cp.api("GET", path)) as { readonly items: readonly { readonly address: string }[] };
  return items
    .map(({ address }) => address)
    .sort()
    .join(" ");
};
const addressesBecome = (service: string, wanted: string) =>
  eventually(`${service} has ${wanted}`, async () => (await addresses(service)) === wanted || undefined, soonMs);

interface Source {
  readonly name: string;
  readonly state: string;
  readonly ageSeconds: number;
  readonly reason?: string;
}
const stateBecomes = (wanted: string) =>
  eventually(
    `the cluster is ${wanted}`,
    async () => {
      const { items } = (await cp.api("GET", "/v1/registries")) as { readonly items: readonly Source[] };
      return items.find(({ name, state }) => name === "kubernetes" && state === wanted);
    },
    soonMs,
  );

test("a server that hangs is told soon, as old as it is silent, takes nobody out, and is followed on when it goes on", async () => {
  await slice("kept", ["10.8.0.1"]);
  await addressesBecome("kept", "10.8.0.1");
  cluster.signal("SIGSTOP");
  const { reason = "", ageSeconds } = await stateBecomes("lost");
  assert.match(reason, /did not answer a probe/);
  assert.ok(ageSeconds >= (1.5 * probeAfterMs) / 1_000, `its view counts as ${ageSeconds} s old`);
  assert.equal(await addresses("kept"), "10.8.0.1");
  cluster.signal("SIGCONT");
  assert.equal((await stateBecomes("live")).ageSeconds, 0);
  await slice("kept", ["10.8.0.1", "10.8.0.2"]);
  await addressesBecome("kept", "10.8.0.1 10.8.0.2");
});

test("connections that lead nowhere any more are left, and what changes is read over new ones", async () => {
  await slice("moved", ["10.8.1.1"]);
  await addressesBecome("moved", "10.8.1.1");
  relay.swallow();
  await slice("moved", ["10.8.1.2"]);
  await addressesBecome("moved", "10.8.1.2");
  await stateBecomes("live");
});

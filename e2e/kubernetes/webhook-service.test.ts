/** The API server finds the webhooks as `weft install` names them: by their Service, whose addresses it looks up itself. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import {
  type ClusterPlane,
  makeNamespace,
  registeredWebhook,
  startClusterPlane,
  systemNamespace,
} from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";
import { runWeft } from "./run-weft.ts";

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let plane: ClusterPlane;

/** Kubernetes takes no loopback address in a slice. */
const hostAddress =
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";

interface Service {
  readonly spec: { readonly ports: readonly { readonly name: string; readonly port: number }[] };
}
/** As the controller of slices would write it. */
const serveAt = async (webhook: string): Promise<void> => {
  const path = `/api/v1/namespaces/${systemNamespace}/services/istiod`;
  const { spec } = (await cluster.api.call({ method: "GET", path })) as Service;
  const { name = "" } = spec.ports.find(({ port }) => port === 443) ?? assert.fail("the Service has no port 443");
  const at = webhook.lastIndexOf(":");
  await cluster.apply(`/apis/discovery.k8s.io/v1/namespaces/${systemNamespace}/endpointslices`, {
    metadata: { name: "istiod-a", labels: { "kubernetes.io/service-name": "istiod" } },
    addressType: "IPv4",
    ports: [{ name, port: Number(webhook.slice(at + 1)), protocol: "TCP" }],
    endpoints: [{ addresses: [webhook.slice(0, at)], conditions: { ready: true } }],
  });
};
const startPlane = () => startClusterPlane(cluster.kubeconfig, ["--webhook-address", `${hostAddress}:0`]);

before(async () => {
  cluster = stack.use(await startApiServer({ flags: ["--enable-aggregator-routing=true"] }));
  const installed = await runWeft(["install", "--kubeconfig", cluster.kubeconfig]);
  assert.equal(installed.code, 0, installed.err);
  await makeNamespace(cluster, "shop", { "istio-injection": "enabled" });
  plane = await startPlane();
  stack.defer(() => plane[Symbol.asyncDispose]());
  await serveAt(plane.webhook);
});
after(() => stack.disposeAsync());

const made = (name: string): Promise<readonly string[]> =>
  cluster.api
    .call({
      ...{ method: "POST", path: "/api/v1/namespaces/shop/pods?dryRun=All" },
      body: { metadata: { name }, spec: { serviceAccountName: "default", containers: [{ name: "app", image: "a" }] } },
    })
    .then((stored) => {
      const { spec } = stored as { readonly spec: Readonly<Record<string, readonly { readonly name: string }[]>> };
      return [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map(({ name: container }) => container);
    });
const services = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";
const wrong = {
  ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "wrong" } },
  spec: { hosts: ["a"], http: [{ match: [{ uri: { regex: "(" } }], route: [{ destination: { host: "a" } }] }] },
};

test("pods are injected, and what no definition finds wrong is refused", { timeout: 90_000 }, async () => {
  await eventually("pods are injected", async () => (await made("web")).includes("istio-proxy"), 30_000);
  await eventually(
    "validation is proved",
    async () => (await registeredWebhook(cluster, "validating"))?.failurePolicy === "Fail",
    30_000,
  );
  await assert.rejects(
    cluster.api.call({ method: "POST", path: services, body: wrong }),
    /denied the request: WF\d{4}/,
  );
});

test("another control plane behind the same Service takes over", { timeout: 90_000 }, async () => {
  await using second = await startPlane();
  await plane[Symbol.asyncDispose]();
  await assert.rejects(made("between"), /failed calling webhook/);
  await serveAt(second.webhook);
  // Its root is its own, which it writes when the lease is its.
  await eventually("pods are injected", async () => (await made("web")).includes("istio-proxy"), 40_000);
});

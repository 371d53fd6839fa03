/** Two control planes and one lease of a real API server: one writes, and when it dies or goes the other does. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { startSidecar } from "@weft/testkit/sidecar";
import {
  type ClusterPlane,
  conditionsOf,
  defineKinds,
  makeNamespace,
  startClusterPlane,
  systemNamespace,
} from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let first: ClusterPlane;
let second: ClusterPlane;
before(async () => {
  cluster = stack.use(await startApiServer());
  await defineKinds(cluster, ["VirtualService"]);
  await makeNamespace(cluster, systemNamespace);
  await makeNamespace(cluster, "shop");
  first = stack.use(await startClusterPlane(cluster.kubeconfig, ["--pod-name", "first"]));
  await heldBy("first");
  second = stack.use(await startClusterPlane(cluster.kubeconfig, ["--pod-name", "second"]));
});
after(() => stack.disposeAsync());

interface Lease {
  readonly spec: {
    readonly holderIdentity: string;
    readonly leaseTransitions: number;
    readonly leaseDurationSeconds: number;
  };
}
const path = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/weft-writer`;
const lease = async (): Promise<Lease["spec"]> => ((await cluster.api.call({ method: "GET", path })) as Lease).spec;
const heldBy = (name: string, timeoutMs = 15_000): Promise<Lease["spec"]> =>
  eventually(
    `the lease is of ${name}`,
    async () => {
      const spec = await lease();
      return spec.holderIdentity.startsWith(`${name}_`) ? spec : undefined;
    },
    timeoutMs,
  );
const services = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";
const apply = (name: string) =>
  cluster.apply(services, {
    ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name } },
    spec: { hosts: [`${name}.example.com`], http: [{ directResponse: { status: 204 } }] },
  });
const statusOf = (name: string, timeoutMs = 30_000) =>
  eventually(
    `${name} has a status`,
    async () => (await conditionsOf(cluster, `${services}/${name}`)).get("Accepted"),
    timeoutMs,
  );
const writes = async (plane: ClusterPlane): Promise<number> => {
  const metrics = await (await fetch(`http://${plane.monitoring}/metrics`)).text();
  return Number(/^weft_status_writes_total\{result="written"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
};
/** What a dead holder's lease has left, one look more of the other, and a slow machine. */
const takeOverMs = 40_000;

/** It counts a write when that is answered, which is after the status can be read. */
const wrote = (plane: ClusterPlane): Promise<true> =>
  eventually("its writes are counted", async () => (await writes(plane)) > 0 || undefined);

test("one writes, and the other serves as well", async () => {
  await apply("one");
  await statusOf("one");
  await wrote(first);
  assert.equal(await writes(second), 0);
  assert.equal((await lease()).leaseDurationSeconds, 15);
  await using _web = await startSidecar(second, { name: "web" });
});

test("kill -9 of the one who writes lets the other write when the lease has run out", async () => {
  const { leaseTransitions } = await heldBy("first");
  first.program.kill("SIGKILL");
  await first.program.exited;
  await apply("two");
  const taken = await heldBy("second", takeOverMs);
  assert.equal(taken.leaseTransitions, leaseTransitions + 1);
  await statusOf("two");
  await wrote(second);
});

test("a proper end gives the lease away at once", async () => {
  await using third = await startClusterPlane(cluster.kubeconfig, ["--pod-name", "third"]);
  second.program.kill("SIGTERM");
  assert.equal(await second.program.exited, 0);
  assert.equal((await lease()).holderIdentity.startsWith("second_"), false);
  await heldBy("third");
  await apply("three");
  await statusOf("three");
  await wrote(third);
});

test("an API server that dies takes only the writing with it", async () => {
  await using fourth = await startClusterPlane(cluster.kubeconfig, ["--pod-name", "fourth"]);
  await heldBy("fourth", takeOverMs);
  await cluster.kill();
  await eventually(
    "it knows that it must not write",
    async () =>
      /^weft_kubernetes_writer 0$/m.test(await (await fetch(`http://${fourth.monitoring}/metrics`)).text()) ||
      undefined,
    takeOverMs,
  );
  await using _web = await startSidecar(fourth, { name: "web" });
  await cluster.restart();
  await heldBy("fourth", takeOverMs);
  await apply("four");
  await statusOf("four");
});

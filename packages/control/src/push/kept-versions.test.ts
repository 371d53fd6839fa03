/** Nobody holds on to what endpoints were: each older version would keep all that came after it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualTime } from "@weft/core/testing/virtual-time";
import { silentLogger } from "@weft/core/world";
import { collectGarbage } from "@weft/net/process/give-back-memory";
import { resourceType } from "@weft/xds/resource";
import type { Snapshot } from "@weft/xds/snapshot";
import { testMesh, testProxy } from "../generate/test-mesh.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { createPublisher } from "./publisher.ts";
import { createPushMetrics } from "./push-metrics.ts";

const changes = 2_000;
const endpointsUrl = resourceType("endpoints").typeUrl;
const services = ["s0", "s1", "s2"];
const nameOf = (service: string): string => `outbound|80||${service}.default.svc.cluster.local`;
/** A cluster that waits for endpoints which there are none of: the snapshot completes them. */
const waiting = `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: extra, namespace: istio-system }
spec:
  configPatches:
    - applyTo: CLUSTER
      match: { context: SIDECAR_OUTBOUND }
      patch:
        operation: ADD
        value: { name: extra, type: EDS, edsClusterConfig: { edsConfig: { ads: {}, resourceApiVersion: V3 } } }
`;
const proxyOf = (namespace: string) =>
  testProxy({ NAMESPACE: namespace }, `sidecar~10.0.0.9~w.${namespace}~${namespace}.svc.cluster.local`);

interface Follower extends Disposable {
  /** What a stream holds on to: what it was last given. */
  readonly held: () => Snapshot | undefined;
}

/** The real generator and publisher, each change of endpoints pushed at once. */
const openWorld = (yaml: string) => {
  const instance = (service: string, at: number) =>
    ({ service, id: "i", address: `10.1.${at >> 8}.${at & 255}`, port: 8080, servicePort: 80 }) as const;
  const mesh = testMesh({ yaml, instances: services.map((service) => instance(service, 0)) });
  const { clock, setTimer, pass } = virtualTime();
  const publisher = createPublisher({
    generator: mesh.generator,
    clock,
    setTimer,
    log: silentLogger,
    metrics: createPushMetrics(createMetrics()),
  });
  /** By the number of the change, whatever was made for it that must not stay. */
  const made: { readonly at: number; readonly what: string; readonly ref: WeakRef<object> }[] = [];
  let change = 0;
  const note = (what: string, value: object): void => void made.push({ at: change, what, ref: new WeakRef(value) });

  const connect = (namespace: string, wanted: readonly string[]): Follower => {
    const proxy = proxyOf(namespace);
    let held: Snapshot | undefined;
    const subscription = publisher.connect({
      proxy,
      push: (snapshot) => {
        held = snapshot;
        const type = snapshot.types.get(endpointsUrl) as object & { readonly entries: object };
        note("snapshot", snapshot);
        note("endpoints of a snapshot", type);
        note("entries", type.entries);
        note("endpoints of the generator", mesh.generator.endpointsOf(proxy) as object);
      },
    });
    for (const service of wanted) subscription.wants(nameOf(service));
    return {
      held: () => held,
      [Symbol.dispose]: () => {
        held = undefined;
        for (const service of wanted) subscription.unwants(nameOf(service));
        subscription[Symbol.dispose]();
      },
    };
  };
  const move = (): void => {
    change++;
    mesh.register(instance(services[change % services.length] as string, change));
    assert.deepEqual(mesh.graph.commit().failures, []);
    publisher.changed();
    pass(1_000);
  };
  /** What is alive of all that was made before the last so many changes. */
  const keptBefore = async (last: number): Promise<readonly string[]> => {
    // What a finaliser lets go of is collected by the next one.
    for (let i = 0; i < 3; i++) {
      await new Promise(setImmediate);
      collectGarbage();
    }
    const old = made.filter(({ at }) => at < change - last);
    assert.ok(old.length > changes, `${old.length} were made`);
    return [...new Set(old.flatMap(({ ref, what }) => (ref.deref() ? what : [])))];
  };
  return { publisher, connect, move, keptBefore };
};

const names = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `other-${i}`);

/** Their streams go, too: nothing here is left of them. */
const comeAndGo = (world: ReturnType<typeof openWorld>): void => {
  using gone = new DisposableStack();
  for (const [i, namespace] of names(20).entries()) gone.use(world.connect(namespace, i % 2 === 0 ? [] : ["s0"]));
  gone.use(world.connect("default", ["s1"]));
  for (let i = 0; i < 100; i++) world.move();
};

for (const { how, yaml, extra } of [
  { how: "with all endpoints there", yaml: "", extra: [] },
  { how: "with endpoints that are completed", yaml: waiting, extra: ["extra"] },
]) {
  test(`old endpoints go although a proxy was given them once and nobody is served in its audience again, ${how}`, async () => {
    const world = openWorld(yaml);
    using served = world.connect("default", services);
    world.publisher.snapshotOf(proxyOf("once"));
    for (let i = 0; i < changes; i++) world.move();
    assert.deepEqual(await world.keptBefore(5), []);
    assert.deepEqual(
      [...(served.held()?.types.get(endpointsUrl)?.entries.keys() ?? [])],
      [...extra, ...services.map(nameOf)],
    );
  });

  test(`audiences that lag keep no more than what came since their last turn, ${how}`, async () => {
    const world = openWorld(yaml);
    using served = world.connect("default", services);
    const quiet = names(50).map((namespace) => world.connect(namespace, []));
    for (let i = 0; i < changes; i++) world.move();
    // One of them has its turn with each push.
    assert.deepEqual(await world.keptBefore(quiet.length + 5), []);
    for (const one of [served, ...quiet]) assert.ok(one.held());
  });

  test(`what followers were given that have gone goes as well, ${how}`, async () => {
    const world = openWorld(yaml);
    using served = world.connect("default", services);
    comeAndGo(world);
    for (let i = 0; i < changes; i++) world.move();
    assert.deepEqual(await world.keptBefore(5), []);
    assert.ok(served.held());
  });
}

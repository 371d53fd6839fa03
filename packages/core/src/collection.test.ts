import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Collection, createGraph, type Graph, type Source } from "./collection.ts";

interface Service {
  readonly key: string;
  readonly app: string;
  readonly port: number;
}
interface Pod {
  readonly key: string;
  readonly app: string;
  readonly ip: string;
  readonly ready: boolean;
}
interface Endpoints {
  readonly key: string;
  readonly addresses: readonly string[];
}

/** A small mesh with every way of reading: by key, by index, whole, grouped, several outputs, chained, contested keys. */
const build = (graph: Graph) => {
  const services = graph.source<Service>("services");
  const pods = graph.source<Pod>("pods");
  const settings = graph.source<{ key: string; suffix: string }>("settings");
  const byApp = pods.index("app", ({ app }) => [app]);
  const endpoints = graph.derive<Service, Endpoints>("endpoints", services, ({ key, app, port }, fetch) => ({
    key,
    addresses: fetch.where(byApp, app).flatMap(({ ip, ready }) => (ready ? [`${ip}:${port}`] : [])),
  }));
  const apps = graph.group("apps", byApp, (key, members) => ({
    key,
    ready: members.filter((pod) => pod.ready).length,
  }));
  const named = graph.derive("named", endpoints, ({ key, addresses }, fetch) => {
    const suffix = fetch.get(settings, "only")?.suffix ?? "";
    return addresses.map((address) => ({ key: address, owner: key + suffix }));
  });
  const totals = graph.derive("totals", settings, ({ key }, fetch) => ({
    key,
    count: fetch.all(apps).reduce((sum, { ready }) => sum + ready, 0) + fetch.all(named).length,
  }));
  const everything = graph.union<{ key: string }>("everything", [services, pods, named]);
  const census = graph.derive("census", everything, (item) => ({ ...item, seen: true }));
  return { services, pods, settings, endpoints, apps, named, totals, census };
};
type Mesh = ReturnType<typeof build>;

const content = (mesh: Mesh) =>
  [mesh.endpoints, mesh.apps, mesh.named, mesh.totals, mesh.census].map((collection: Collection<{ key: string }>) =>
    [...collection.values()].sort((a, b) => (a.key < b.key ? -1 : 1)),
  );

const name = fc.constantFrom("a", "b", "c", "d");
const service = fc.record({ key: name, app: name, port: fc.integer({ min: 80, max: 81 }) });
const pod = fc.record({ key: name, app: name, ip: fc.constantFrom("1", "2"), ready: fc.boolean() });
const write = fc.oneof(
  fc.record({ do: fc.constant("service" as const), item: service }),
  fc.record({ do: fc.constant("pod" as const), item: pod }),
  fc.record({ do: fc.constant("setting" as const), item: fc.record({ key: fc.constant("only"), suffix: name }) }),
  fc.record({ do: fc.constant("dropService" as const), item: fc.record({ key: name }) }),
  fc.record({ do: fc.constant("dropPod" as const), item: fc.record({ key: name }) }),
  fc.record({ do: fc.constant("resetPods" as const), item: fc.array(pod, { maxLength: 3 }) }),
);
type Write = typeof write extends fc.Arbitrary<infer W> ? W : never;

const apply = (mesh: Mesh, step: Write): void => {
  if (step.do === "service") mesh.services.put(step.item);
  else if (step.do === "pod") mesh.pods.put(step.item);
  else if (step.do === "setting") mesh.settings.put(step.item);
  else if (step.do === "dropService") mesh.services.drop(step.item.key);
  else if (step.do === "dropPod") mesh.pods.drop(step.item.key);
  else mesh.pods.reset(step.item);
};

test("after any history the collections equal a fresh build, and watchers saw exactly the net changes", () => {
  fc.assert(
    fc.property(fc.array(fc.array(write, { maxLength: 4 }), { maxLength: 12 }), (history) => {
      const graph = createGraph();
      const mesh = build(graph);
      const seen = new Map<string, unknown>();
      mesh.named.watch((changes) => {
        for (const { key, before, after } of changes) {
          assert.deepEqual(seen.get(key), before, `told of ${key} from a state never told`);
          assert.notDeepEqual(before, after);
          if (after) seen.set(key, after);
          else seen.delete(key);
        }
      });
      for (const batch of history) {
        for (const step of batch) apply(mesh, step);
        graph.commit();
      }
      const freshGraph = createGraph();
      const fresh = build(freshGraph);
      for (const from of ["services", "pods", "settings"] as const) {
        const backwards = [...mesh[from].values()].sort((a, b) => (a.key < b.key ? 1 : -1));
        for (const item of backwards) (fresh[from] as Source<{ key: string }>).put(item);
      }
      freshGraph.commit();
      assert.deepEqual(content(mesh), content(fresh));
      assert.deepEqual(new Map(seen), new Map([...mesh.named.values()].map((item) => [item.key, item])));
    }),
    { numRuns: 400 },
  );
});

test("a commit reruns only what read the change, and equality stops the wave", () => {
  const graph = createGraph();
  const mesh = build(graph);
  for (let i = 0; i < 100; i++) {
    mesh.services.put({ key: `s${i}`, app: `app${i}`, port: 80 });
    mesh.pods.put({ key: `p${i}`, app: `app${i}`, ip: `10.0.0.${i}`, ready: true });
  }
  mesh.settings.put({ key: "only", suffix: "!" });
  graph.commit();
  const before = new Map(graph.stats().map(({ name: node, reruns }) => [node, reruns]));
  const delta = () => Object.fromEntries(graph.stats().map((s) => [s.name, s.reruns - (before.get(s.name) ?? 0)]));

  mesh.pods.put({ key: "p7", app: "app7", ip: "10.0.1.7", ready: true });
  graph.commit();
  assert.deepEqual(delta(), {
    services: 0,
    pods: 0,
    settings: 0,
    endpoints: 1,
    apps: 1,
    named: 1,
    totals: 1,
    everything: 0,
    census: 3,
  });

  mesh.pods.put({ key: "p7", app: "app7", ip: "10.0.1.7", ready: true });
  assert.equal(graph.commit().changed, false);
  assert.equal(delta().endpoints, 1, "an equal write reruns nothing");

  mesh.pods.put({ key: "unready", app: "app7", ip: "10.0.2.2", ready: false });
  graph.commit();
  assert.deepEqual(delta(), {
    services: 0,
    pods: 0,
    settings: 0,
    endpoints: 2,
    apps: 2,
    named: 1,
    totals: 1,
    everything: 0,
    census: 4,
  });
});

test("an unchanged output keeps its object, and a cheap equality replaces the deep one", () => {
  const graph = createGraph();
  const items = graph.source<{ key: string; hash: number; body: unknown }>("items", {
    equal: (a, b) => a.hash === b.hash,
  });
  const copies = graph.derive("copies", items, ({ key, body }) => ({ key, body }));
  items.put({ key: "a", hash: 1, body: { deep: [1] } });
  graph.commit();
  const first = copies.get("a");
  items.put({ key: "a", hash: 1, body: { deep: "ignored, since the hash is the same" } });
  graph.commit();
  items.put({ key: "a", hash: 2, body: { deep: [1] } });
  graph.commit();
  assert.equal(copies.get("a"), first);
});

test("a rule that throws keeps its last output, is reported, and runs again when its input changes", () => {
  const graph = createGraph();
  const numbers = graph.source<{ key: string; n: number }>("numbers");
  const halves = graph.derive("halves", numbers, ({ key, n }) => {
    if (n % 2 === 1) throw new Error("odd");
    return { key, half: n / 2 };
  });
  numbers.put({ key: "a", n: 4 });
  numbers.put({ key: "b", n: 2 });
  graph.commit();
  numbers.put({ key: "a", n: 5 });
  numbers.put({ key: "b", n: 6 });
  const { failures } = graph.commit();
  assert.deepEqual(
    failures.map(({ collection, key, error }) => [collection, key, String(error)]),
    [["halves", "a", "Error: odd"]],
  );
  assert.deepEqual([halves.get("a")?.half, halves.get("b")?.half], [2, 3]);
  numbers.put({ key: "a", n: 8 });
  assert.deepEqual(graph.commit().failures, []);
  assert.equal(halves.get("a")?.half, 4);
});

test("two inputs that give the same key: the lower input key wins in any order, and the other takes over", () => {
  for (const order of [
    ["x", "y"],
    ["y", "x"],
  ]) {
    const graph = createGraph();
    const from = graph.source<{ key: string }>("from");
    const out = graph.derive("out", from, ({ key }) => ({ key: "same", owner: key }));
    for (const key of order) {
      from.put({ key });
      graph.commit();
    }
    assert.equal(out.get("same")?.owner, "x");
    from.drop("x");
    graph.commit();
    assert.equal(out.get("same")?.owner, "y");
  }
});

test("writes are not seen before the commit, and a write taken back is no change", () => {
  const graph = createGraph();
  const source = graph.source<{ key: string; n: number }>("source");
  let told = 0;
  source.watch(() => told++);
  source.put({ key: "a", n: 1 });
  assert.equal(source.get("a"), undefined);
  graph.commit();
  assert.deepEqual([source.get("a")?.n, told], [1, 1]);
  source.put({ key: "a", n: 2 });
  source.put({ key: "a", n: 1 });
  graph.commit();
  assert.equal(told, 1);
  source.put({ key: "b", n: 1 });
  source.reset([{ key: "c", n: 3 }]);
  graph.commit();
  assert.deepEqual(
    [...source.values()].map(({ key }) => key),
    ["c"],
  );
});

test("a watcher may write for the next commit, but not commit", () => {
  const graph = createGraph();
  const source = graph.source<{ key: string }>("source");
  const echo = graph.source<{ key: string }>("echo");
  source.watch((changes) => {
    for (const { key } of changes) echo.put({ key });
    assert.throws(() => graph.commit(), /commit inside a commit/);
  });
  source.put({ key: "a" });
  graph.commit();
  assert.equal(echo.size, 0);
  graph.commit();
  assert.equal(echo.size, 1);
});

test("a rule cannot read a collection made after its own, nor its own", () => {
  const graph = createGraph();
  const source = graph.source<{ key: string }>("source");
  let later: Collection<{ key: string }> = source;
  const early = graph.derive("early", source, ({ key }, fetch) => fetch.get(later, key) ?? { key });
  later = graph.source<{ key: string }>("later");
  source.put({ key: "a" });
  assert.match(String(graph.commit().failures[0]?.error), /early reads later, which comes after it/);
  assert.equal(early.size, 0);
});

test("what nobody reads any more is forgotten: a rule that changes what it reads does not rerun for the old", () => {
  const graph = createGraph();
  const table = graph.source<{ key: string; n: number }>("table");
  const pointers = graph.source<{ key: string; to: string }>("pointers");
  graph.derive("follow", pointers, ({ key, to }, fetch) => ({ key, n: fetch.get(table, to)?.n }));
  const reruns = () => graph.stats().find(({ name: node }) => node === "follow")?.reruns;
  table.put({ key: "x", n: 1 });
  table.put({ key: "y", n: 1 });
  pointers.put({ key: "p", to: "x" });
  graph.commit();
  pointers.put({ key: "p", to: "y" });
  graph.commit();
  table.put({ key: "x", n: 2 });
  graph.commit();
  assert.equal(reruns(), 2);
  table.put({ key: "y", n: 2 });
  graph.commit();
  assert.equal(reruns(), 3);
});

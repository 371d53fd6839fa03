/** Most of a service that is not renewed in time, at a control plane that has its registry for itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import fc from "fast-check";
import { embeddedView } from "./embedded-view.ts";
import { createGroupedRegistry } from "./grouped-registry.ts";
import type { InstanceRef } from "./instance.ts";
import { createEmbeddedRegistry } from "./registry.ts";
import { memoryStore, type RegistryStore } from "./store.ts";

const minute = 60_000;
const ref = (id: string, service = "catalog"): InstanceRef => ({ namespace: "default", service, id });
const body = (ttlSeconds: number) => ({ address: "10.0.0.1", port: 8080, ttlSeconds });

const make = (entries = new Map<string, string>(), startMs = 0) => {
  const disk = { isFull: false };
  const inner = memoryStore(entries);
  const store: RegistryStore = {
    load: inner.load,
    write(changes) {
      if (disk.isFull) throw new Error("disk full");
      inner.write(changes);
    },
  };
  const clock = { now: startMs, nowMs: () => clock.now, wallMs: () => 1_700_000_000_000 + clock.now };
  const registry = createEmbeddedRegistry({ store, clock });
  const shown = (): string =>
    registry
      .list()
      .map(({ id, heldUntil }) => (heldUntil === undefined ? id : `${id} held`))
      .join(", ");
  const at = (ms: number): string => {
    clock.now = ms;
    registry.tick();
    return shown();
  };
  return { registry, clock, entries, disk, at, shown };
};

test("more than half of a service that ends within one time-to-live is held, those that went first with it, for five minutes", () => {
  const { registry, at, clock } = make();
  for (const id of ["a", "b", "c"]) {
    clock.now += 1_000;
    registry.put(ref(id), body(10));
  }
  registry.put(ref("stays"), body(0));
  registry.put(ref("other", "web"), body(0));
  const told: string[] = [];
  registry.watch({ since: registry.version() }, ({ type, object }) => told.push(`${type} ${object.id}`));
  assert.equal(at(11_000), "b, c, stays, other");
  assert.equal(at(12_000), "c, stays, other");
  assert.equal(at(13_000), "a held, b held, c held, stays, other");
  assert.deepEqual(told, ["DELETED a", "DELETED b", "ADDED a", "ADDED b", "MODIFIED c"]);
  assert.equal(registry.deadlineMs(), 13_000 + 5 * minute);
  assert.equal(at(13_000 + 5 * minute - 1), "a held, b held, c held, stays, other");
  assert.equal(at(13_000 + 5 * minute), "stays, other");
});

test("the only instance of a service, half of one, and ends further apart than a time-to-live are believed at once", () => {
  const alone = make();
  alone.registry.put(ref("a"), body(10));
  assert.equal(alone.at(10_000), "");

  const half = make();
  for (const id of ["a", "b"]) half.registry.put(ref(id), body(10));
  for (const id of ["c", "d"]) half.registry.put(ref(id), body(0));
  assert.equal(half.at(10_000), "c, d");

  const slowly = make();
  for (const id of ["a", "b"]) slowly.registry.put(ref(id), body(80));
  slowly.clock.now = 45_000;
  slowly.registry.heartbeat(ref("b"));
  assert.equal(slowly.at(80_000), "b");
  assert.equal(slowly.at(125_000), "a held, b held", "a time-to-live of 80 s is one window");
  const apart = make();
  apart.registry.put(ref("a"), body(10));
  apart.registry.put(ref("b"), body(20));
  assert.equal(apart.at(10_000), "b");
  apart.registry.heartbeat(ref("b"));
  apart.clock.now = 29_000;
  apart.registry.heartbeat(ref("b"));
  assert.equal(apart.at(49_000), "");
});

test("one that renews while it is held, or registers again, is live again and ends as ever", () => {
  const { registry, at, shown, clock } = make();
  for (const id of ["a", "b", "c"]) registry.put(ref(id), body(10));
  assert.equal(at(10_000), "a held, b held, c held");
  const version = registry.version();
  clock.now = 11_000;
  assert.equal(registry.heartbeat(ref("a")).heldUntil, undefined);
  assert.equal(registry.put(ref("b"), body(10)).created, false);
  assert.equal(shown(), "a, b, c held");
  assert.equal(registry.version(), version + 2);
  clock.now = 20_000;
  registry.heartbeat(ref("b"));
  assert.equal(at(21_000), "a held, b, c held", "with c it is most of them");
});

test("a removal is believed at once, of one that is held and of one that had ended before the others", () => {
  const { registry, at, shown } = make();
  for (const id of ["a", "b", "c"]) registry.put(ref(id), body(10));
  assert.equal(at(10_000), "a held, b held, c held");
  registry.remove(ref("a"));
  assert.equal(shown(), "b held, c held");

  const early = make();
  early.registry.put(ref("a"), body(10));
  for (const id of ["b", "c"]) early.registry.put(ref(id), body(20));
  assert.equal(early.at(10_000), "b, c");
  assert.throws(() => early.registry.remove(ref("a")), { code: "WF8003" });
  assert.equal(early.at(20_000), "b held, c held", "what was removed does not come back with them");
});

test("what was held is so after a restart, with what was left and its time to renew at the least", () => {
  const before = make();
  for (const id of ["a", "b"]) before.registry.put(ref(id), body(10));
  before.registry.put(ref("live"), body(600));
  assert.equal(before.at(10_000), "a held, b held, live");

  const soon = make(new Map(before.entries), minute);
  assert.equal(soon.shown(), "a held, b held, live");
  assert.equal(soon.at(10_000 + 5 * minute - 1), "a held, b held, live");
  assert.equal(soon.at(10_000 + 5 * minute), "live");

  const late = make(new Map(before.entries), 60 * minute);
  assert.equal(late.registry.heartbeat(ref("a")).heldUntil, undefined);
  assert.equal(late.at(60 * minute + 9_999), "a, b held, live");
  assert.equal(late.at(60 * minute + 10_000), "live");

  // A clock that went back keeps none of them longer than if it had not.
  const back = make(new Map(before.entries), -60 * minute);
  assert.equal(back.at(-55 * minute), "live");
});

test("a disk that is full keeps nobody from being held, or from going", () => {
  const { registry, at, disk, entries, shown } = make();
  for (const id of ["a", "b", "c"]) registry.put(ref(id), body(10));
  disk.isFull = true;
  assert.equal(at(10_000), "a held, b held, c held");
  assert.throws(() => registry.heartbeat(ref("a")), { code: "WF2260" });
  assert.equal(shown(), "a held, b held, c held");
  disk.isFull = false;
  registry.heartbeat(ref("a"));
  assert.equal(make(entries).shown(), "a, b held, c held");
});

test("a registry that is full takes back no more than it has room for", () => {
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => clock.now };
  const limits = { instancesPerServiceMax: 3 };
  const registry = createEmbeddedRegistry({ store: memoryStore(), clock, limits });
  registry.put(ref("a"), body(10));
  for (const id of ["b", "c"]) registry.put(ref(id), body(20));
  clock.now = 10_000;
  registry.tick();
  registry.put(ref("new"), body(0));
  clock.now = 20_000;
  registry.tick();
  assert.deepEqual(
    registry.list().map(({ id, heldUntil }) => [id, heldUntil !== undefined]),
    [
      ["b", true],
      ["c", true],
      ["new", false],
    ],
  );
});

test("the mesh has a held instance as a last resort", () => {
  const { registry, at } = make();
  const graph = createGraph();
  using view = embeddedView(graph, registry, { domain: "cluster.local", changed: () => {} });
  for (const id of ["a", "b"]) registry.put(ref(id), body(10));
  graph.commit();
  const held = () => [...view.endpoints.values()].map((one) => one.held);
  assert.deepEqual([held(), view.held()], [[undefined, undefined], 0]);
  at(10_000);
  graph.commit();
  assert.deepEqual([held(), view.held()], [["expired", "expired"], 2]);
  registry.heartbeat(ref("a"));
  registry.remove(ref("b"));
  graph.commit();
  assert.deepEqual([held(), view.held()], [[undefined], 0]);
});

test("whatever happens, who renews in time is live, and who does not is gone within its time and five minutes", () => {
  const ids = ["a", "b", "c", "d"] as const;
  const step = fc.record({
    id: fc.constantFrom(...ids),
    act: fc.constantFrom("put", "beat", "beat all", "remove", "restart"),
    waitMs: fc.constantFrom(0, 500, 4_000, 9_000, 40_000, 6 * minute),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let world = make();
      const aliveUntil = new Map<string, number>();
      const renew = (id: string): void => {
        if (!world.registry.get(ref(id))) return;
        world.registry.heartbeat(ref(id));
        aliveUntil.set(id, world.clock.now + 5_000);
      };
      for (const { id, act, waitMs } of steps) {
        if (act === "put") {
          world.registry.put(ref(id), body(5));
          aliveUntil.set(id, world.clock.now + 5_000);
        } else if (act === "beat") renew(id);
        else if (act === "beat all") ids.forEach(renew);
        else if (act === "remove" && world.registry.get(ref(id))) {
          world.registry.remove(ref(id));
          aliveUntil.delete(id);
        } else if (act === "restart") {
          world = make(world.entries, world.clock.now);
          for (const [one, untilMs] of aliveUntil)
            if (world.registry.get(ref(one))?.heldUntil === undefined && world.registry.get(ref(one)))
              aliveUntil.set(one, Math.max(untilMs, world.clock.now + 5_000));
        }
        world.at(world.clock.now + waitMs);
        for (const [one, untilMs] of aliveUntil) {
          const found = world.registry.get(ref(one));
          if (world.clock.now < untilMs) assert.ok(found && found.heldUntil === undefined, `${one} is live`);
          else if (found) assert.ok(found.heldUntil !== undefined && world.clock.now < untilMs + 7 * 5 * minute);
        }
        for (const { id: one } of world.registry.list()) assert.ok(aliveUntil.has(one), `${one} was removed`);
      }
    }),
  );
});

test("those that renew together while they are held are kept by one write", async () => {
  const entries = new Map<string, string>();
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => clock.now };
  const inner = memoryStore(entries);
  let writes = 0;
  const store: RegistryStore = {
    load: inner.load,
    write(changes) {
      writes++;
      inner.write(changes);
    },
  };
  const registry = createEmbeddedRegistry({ store, clock });
  using grouped = createGroupedRegistry(registry, (run) => {
    setImmediate(run);
    return { [Symbol.dispose]: () => {} };
  });
  const ids = Array.from({ length: 50 }, (_, i) => `i${i}`);
  for (const id of ids) registry.put(ref(id), body(10));
  clock.now = 10_000;
  registry.tick();
  // Behind another change, for which the first of them waits.
  await grouped.put(ref("other"), body(10));
  writes = 0;
  const renewed = await Promise.all(ids.map((id) => grouped.heartbeat(ref(id))));
  assert.ok(renewed.every(({ heldUntil }) => heldUntil === undefined));
  assert.equal(writes, 1);
  assert.equal(grouped.heartbeat(ref("i0")), registry.get(ref("i0")), "one that lives is answered at once");
});

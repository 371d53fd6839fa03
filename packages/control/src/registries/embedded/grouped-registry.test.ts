import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import fc from "fast-check";
import { createGroupedRegistry, crowdMin, groupMax, groupMs, waitsMax } from "./grouped-registry.ts";
import type { InstanceRef } from "./instance.ts";
import { createEmbeddedRegistry, type RegistryEvent } from "./registry.ts";
import { memoryStore, type RegistryStore } from "./store.ts";

const ref = (id: string): InstanceRef => ({ namespace: "default", service: "catalog", id });
const body = { address: "10.0.0.1", port: 8080 };

const make = () => {
  const entries = new Map<string, string>();
  const inner = memoryStore(entries);
  const disk = { isFull: false, writes: 0 };
  const store: RegistryStore = {
    load: inner.load,
    write(changes) {
      disk.writes++;
      if (disk.isFull) throw new Error("database or disk is full");
      inner.write(changes);
    },
  };
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => 1_700_000_000_000 + clock.now };
  const timers: { readonly callback: () => void; readonly delayMs: number }[] = [];
  const registry = createEmbeddedRegistry({ store, clock });
  const grouped = createGroupedRegistry(registry, (callback, delayMs) => {
    timers.push({ callback, delayMs });
    return { [Symbol.dispose]: () => {} };
  });
  const fireOnce = (): void => {
    for (const { callback } of timers.splice(0)) callback();
  };
  const fire = (): void => {
    while (timers.length > 0) fireOnce();
  };
  const events: RegistryEvent[] = [];
  registry.watch({}, (event) => events.push(event));
  const again = () => createEmbeddedRegistry({ store, clock });
  /** Has something written, behind which the next waits. */
  const write = async (): Promise<void> => {
    await Promise.resolve(grouped.remove(ref("first"))).catch(() => {});
    disk.writes = 0;
  };
  return { registry, grouped, disk, clock, timers, fire, fireOnce, events, again, write };
};
const isNotKept = (error: unknown): boolean =>
  error instanceof WeftError && error.code === "WF2260" && /disk is full/.test(error.message);

test("changes that come together are kept by one write, each with a version of its own, and only then told and answered", async () => {
  const { grouped, disk, timers, fire, events, again, write } = make();
  await write();
  let answered = 0;
  const answers = ["a", "b", "c"].map((id) =>
    Promise.resolve(grouped.put(ref(id), body)).finally(() => {
      answered++;
    }),
  );
  await Promise.resolve();
  assert.deepEqual([answered, events.length, disk.writes], [0, 0, 0]);
  assert.deepEqual(
    timers.map(({ delayMs }) => delayMs),
    [groupMs],
  );
  fire();
  const versions = (await Promise.all(answers)).map(({ instance }) => instance.resourceVersion);
  assert.deepEqual([versions, disk.writes], [[1, 2, 3], 1]);
  assert.deepEqual(
    events.map(({ object, resourceVersion }) => `${object.id} ${resourceVersion}`),
    ["a 1", "b 2", "c 3"],
  );
  assert.deepEqual(
    again()
      .list()
      .map(({ id }) => id),
    ["a", "b", "c"],
  );
});

test("a change that comes alone is kept and told at once, and the next one too when a moment has passed", async () => {
  const { grouped, disk, fire, timers, events } = make();
  const first = grouped.put(ref("a"), body);
  assert.deepEqual([disk.writes, events.length], [1, 1]);
  const second = grouped.put(ref("b"), body);
  assert.equal(disk.writes, 1);
  fire();
  assert.deepEqual([disk.writes, timers.length], [2, 0]);
  const third = grouped.put(ref("c"), body);
  assert.equal(disk.writes, 3);
  await Promise.all([first, second, third]);
});

test("a refusal within a group is one of that change alone, and each sees what those before it did", async () => {
  const { grouped, fire, again, write } = make();
  await write();
  const first = grouped.put(ref("a"), body, { ifMatch: 0 });
  const second = Promise.resolve(grouped.put(ref("a"), { ...body, weight: 2 }, { ifMatch: 0 }));
  const wrong = Promise.resolve(grouped.put(ref("b"), { port: 1 }));
  const third = grouped.put(ref("a"), { ...body, weight: 3 }, { ifMatch: 1 });
  const gone = grouped.remove(ref("a"), { ifMatch: 2 });
  const refused = Promise.all([assert.rejects(second, { code: "WF8004" }), assert.rejects(wrong, { code: "WF8001" })]);
  fire();
  assert.equal((await first).created, true);
  assert.equal((await third).instance.weight, 3);
  assert.equal((await gone).id, "a");
  await refused;
  assert.deepEqual(again().list(), []);
});

test("a group that is large enough does not wait", async () => {
  const { grouped, disk, write } = make();
  await write();
  await Promise.all(Array.from({ length: groupMax }, (_, at) => grouped.put(ref(`i${at}`), body)));
  assert.equal(disk.writes, 1);
});

test("a group waits on while very many join it, but not for ever, and no longer once few do", async () => {
  const { grouped, disk, fireOnce, timers, write } = make();
  await write();
  let at = 0;
  const open: unknown[] = [];
  const join = (count: number): void => {
    for (let left = count; left > 0; left--) open.push(grouped.put(ref(`i${at++}`), body));
  };
  for (let waits = 0; waits < waitsMax; waits++) {
    assert.equal(disk.writes, 0);
    join(crowdMin + 1);
    fireOnce();
  }
  assert.deepEqual([disk.writes, timers.length], [1, 1]);
  join(crowdMin + 1);
  fireOnce();
  join(crowdMin);
  assert.equal(disk.writes, 1);
  fireOnce();
  assert.deepEqual([disk.writes, timers.length], [2, 1]);
  await Promise.all(open);
});

test("what cannot be kept is not made: all is as before, in memory too, and goes on when there is room", async () => {
  const { registry, grouped, disk, fire, events, again, write } = make();
  await write();
  registry.put(ref("old"), { ...body, ttlSeconds: 10 });
  registry.put(ref("goes"), body);
  const before = registry.list();
  events.length = 0;
  disk.isFull = true;
  const all = [
    grouped.put(ref("new"), body),
    grouped.put(ref("old"), { ...body, weight: 9 }),
    grouped.remove(ref("goes")),
  ].map((answer) => assert.rejects(Promise.resolve<unknown>(answer), isNotKept));
  fire();
  await Promise.all(all);
  assert.deepEqual([registry.list(), registry.version(), events], [before, 2, []]);
  registry.heartbeat(ref("old"));
  disk.isFull = false;
  const next = grouped.put(ref("new"), body);
  fire();
  assert.equal((await next).instance.resourceVersion, 3);
  assert.deepEqual(again().list(), registry.list());
});

test("who is not renewed goes in time although that cannot be kept, and does not come back once it can", () => {
  const { registry, disk, clock, events, again } = make();
  registry.put(ref("ends"), { ...body, ttlSeconds: 5 });
  events.length = 0;
  disk.isFull = true;
  clock.now = 5_000;
  assert.equal(registry.tick().length, 1);
  assert.deepEqual([registry.list(), events.map(({ type }) => type)], [[], ["DELETED"]]);
  assert.equal(again().list().length, 1, "a restart before there is room gives it one more of its times");
  disk.isFull = false;
  registry.put(ref("other"), body);
  assert.deepEqual(
    again()
      .list()
      .map(({ id }) => id),
    ["other"],
  );
});

test("whatever fails in between, memory, disk and what was told agree", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("put" as const), id: fc.constantFrom("a", "b", "c"), weight: fc.nat(3) }),
    fc.record({ kind: fc.constant("remove" as const), id: fc.constantFrom("a", "b", "c") }),
    fc.record({ kind: fc.constantFrom("full" as const, "room" as const, "flush" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { registry, grouped, disk, fire, events, again } = make();
      const open: Promise<unknown>[] = [];
      for (const one of steps) {
        if (one.kind === "put") open.push(Promise.resolve(grouped.put(ref(one.id), { ...body, weight: one.weight })));
        else if (one.kind === "remove") open.push(Promise.resolve(grouped.remove(ref(one.id))));
        else if (one.kind === "flush") fire();
        else disk.isFull = one.kind === "full";
      }
      const settled = Promise.allSettled(open);
      fire();
      await settled;
      const told = new Map<string, unknown>();
      for (const { type, object } of events) {
        if (type === "DELETED") told.delete(object.id);
        else told.set(object.id, object);
      }
      assert.deepEqual(again().list(), registry.list());
      assert.deepEqual([...told.values()].length, registry.list().length);
      for (const instance of registry.list()) assert.deepEqual(told.get(instance.id), instance);
      const versions = events.map(({ resourceVersion }) => resourceVersion);
      assert.deepEqual(
        versions,
        versions.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(versions).size, versions.length);
    }),
  );
});

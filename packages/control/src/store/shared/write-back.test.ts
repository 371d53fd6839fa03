/** A shared store that comes back with an older state, under replicas that know more and less of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { silentLogger } from "@weft/core/world";
import { openKeyValueStore } from "@weft/net/sqlite/key-value-store";
import fc from "fast-check";
import { openSharedExpiry } from "../../registries/embedded/shared-expiry.ts";
import { createSharedRegistry } from "../../registries/embedded/shared-registry.ts";
import { isLeased, markIn, repairedKey } from "./gone-back.ts";
import { openReplica } from "./replica.ts";
import { keepShared, loadShared } from "./shared-disk.ts";
import { createSharedMirror, type SharedRecord } from "./shared-mirror.ts";
import type { SharedStore } from "./shared-store.ts";
import { createManualTime } from "./testing/manual-time.ts";
import { createMemoryShared, type MemoryShared } from "./testing/memory-shared-store.ts";
import { createStoreMender, writeBack } from "./write-back.ts";

const groups = ["config", "instances", "alive", "store"];
type View = ReadonlyMap<string, string>;

const viewOf = (store: Pick<SharedStore, "group">): View =>
  new Map(groups.flatMap((group) => [...store.group(group).values()].map(({ key, value }) => [key, value] as const)));
const sorted = (view: View): readonly (readonly [string, string])[] =>
  [...view].filter(([key]) => key !== repairedKey).sort(([a], [b]) => (a < b ? -1 : 1));
const stored = ({ records }: MemoryShared): View => new Map([...records].map(([key, { value }]) => [key, value]));
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 60; turn++) await setImmediate();
};

interface Op {
  readonly key: string;
  readonly value: string | undefined;
}
const ops = fc.array(
  fc.record({
    key: fc.constantFrom("config/a", "config/b", "instances/c", "instances/d", "instances/e", "alive/c", "alive/d"),
    value: fc.option(fc.constantFrom("1", "2", "3", "4"), { nil: undefined }),
  }),
  { maxLength: 25 },
);
const apply = async (store: SharedStore, { key, value }: Op): Promise<void> => {
  if (value === undefined) await store.write({ seen: [], deletes: [key] });
  else {
    const lease = key.startsWith("alive/") ? await store.grant(5) : undefined;
    await store.write({ seen: [], puts: [{ key, value, lease }] });
  }
};

test("a store that goes back at any point gets back all that a replica knew, and never lacks it there", async () => {
  await fc.assert(
    fc.asyncProperty(ops, fc.nat(25), fc.boolean(), async (all, at, again) => {
      const shared = createMemoryShared();
      const one = shared.open();
      let older = shared.copy();
      for (const [i, op] of all.entries()) {
        if (i === at) older = shared.copy();
        await apply(one, op);
      }
      const isOld = older.revision < one.revision();
      for (let times = 0; times < (again ? 2 : 1); times++) {
        const known = [...viewOf(one)].filter(([key]) => key !== repairedKey && !key.startsWith("alive/"));
        one.cut();
        shared.putBack(older);
        const lost: string[] = [];
        using following = new DisposableStack();
        for (const group of ["config", "instances"])
          following.use(
            one.follow(group, (changes) => lost.push(...changes.flatMap(({ key, after }) => (after ? [] : [key])))),
          );
        one.mend();
        for (const [key, value] of known) assert.equal(one.get(key)?.value, value);
        await settle();
        assert.deepEqual(lost, []);
        const now = stored(shared);
        for (const [key, value] of known) assert.deepEqual([now.get(key), one.get(key)?.value], [value, value]);
        assert.deepEqual(sorted(viewOf(one)), sorted(now));
        // What was leased, and what is only there, is as the store has it.
        for (const [key, { value }] of older.records)
          if (key.startsWith("alive/") || !known.some(([other]) => other === key)) assert.equal(now.get(key), value);
        for (const key of now.keys()) if (key.startsWith("alive/")) assert.ok(older.records.has(key));
        assert.equal(now.has(repairedKey), isOld);
      }
    }),
    { numRuns: 200 },
  );
});

test("replicas that know more and less agree, and what the one knew that knew most is there, whoever comes first", async () => {
  await fc.assert(
    fc.asyncProperty(
      ops,
      fc.nat(25),
      fc.nat(25),
      fc.constantFrom("late", "whole", "together"),
      async (all, ...more) => {
        const [at, cutAt, first] = more;
        const shared = createMemoryShared();
        const [whole, late] = [shared.open(), shared.open()];
        let older = shared.copy();
        for (const [i, op] of all.entries()) {
          if (i === at) older = shared.copy();
          if (i === cutAt) late.cut();
          await apply(whole, op);
        }
        const known = [...viewOf(whole)].filter(([key]) => !key.startsWith("alive/"));
        whole.cut();
        late.cut();
        shared.putBack(older);
        for (const next of first === "late" ? [late, whole] : [whole, late]) {
          next.mend();
          if (first !== "together") await settle();
        }
        await settle();
        const now = stored(shared);
        assert.deepEqual(sorted(viewOf(whole)), sorted(now));
        assert.deepEqual(sorted(viewOf(late)), sorted(now));
        for (const [key, value] of known) {
          if (first === "together") assert.ok(now.has(key));
          else assert.equal(now.get(key), value);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("who comes when another has written everything back believes that what it lacks was taken out", async () => {
  const shared = createMemoryShared();
  const [whole, late] = [shared.open(), shared.open()];
  const older = shared.copy();
  await whole.write({ seen: [], puts: [{ key: "instances/a", value: "1" }] });
  late.cut();
  await whole.write({ seen: [], puts: [{ key: "instances/b", value: "1" }], deletes: ["instances/a"] });
  whole.cut();
  shared.putBack(older);
  whole.mend();
  await settle();
  late.mend();
  await settle();
  for (const each of [whole, late]) assert.deepEqual([...each.group("instances").keys()], ["instances/b"]);
  assert.ok(!shared.records.has("instances/a"));
});

test("a list of the same store that is newer is believed: what is not in it is gone", () => {
  const record = (key: string, revision: number): SharedRecord => ({ key, value: "1", revision });
  const mirror = createSharedMirror({
    clusterId: "1",
    revision: 9,
    records: [record("config/a", 4), record("config/b", 5)],
  });
  mirror.takeList({ clusterId: "1", revision: 12, records: [record("config/b", 5), record("config/c", 12)] });
  assert.deepEqual([...mirror.group("config").keys()], ["config/b", "config/c"]);
  assert.equal(mirror.repair(), undefined);
});

test("another cluster, and a record older than it was known, show a store that went back though its revision is high", () => {
  const known = { clusterId: "1", revision: 9, records: [{ key: "config/a", value: "1", revision: 4 }] };
  const lists = [
    { clusterId: "2", revision: 20, records: [] },
    { clusterId: "1", revision: 20, records: [{ key: "config/a", value: "0", revision: 2 }] },
    { clusterId: "1", revision: 8, records: [] },
  ];
  for (const list of lists) {
    const mirror = createSharedMirror(known);
    mirror.takeList(list);
    assert.equal(mirror.get("config/a")?.value, "1");
    assert.deepEqual(mirror.get("config/a")?.revision, list.records[0]?.revision ?? 0);
    assert.equal(mirror.repair()?.lacking.size, 1);
    // A second connection before anything was written finds the same.
    mirror.takeList(list);
    assert.equal(mirror.repair()?.lacking.size, 1);
    // What others wrote meanwhile counts.
    mirror.takeChanges([{ key: "config/a", value: "2", revision: 21 }]);
    assert.deepEqual([mirror.get("config/a")?.value, mirror.repair()?.lacking.size], ["2", 0]);
  }
});

test("hundreds are written in parts; of a part that meets another's change only that record is the other's", async () => {
  const shared = createMemoryShared();
  const one = shared.open();
  const older = shared.copy();
  for (let i = 0; i < 350; i++) await one.write({ seen: [], puts: [{ key: `instances/${i}`, value: "1" }] });
  one.cut();
  shared.putBack(older);
  const other = shared.open();
  one.mend();
  await other.write({ seen: [], puts: [{ key: "instances/120", value: "other" }] });
  await other.write({ seen: [], puts: [{ key: "instances/7", value: "other" }] });
  await settle();
  assert.equal(one.group("instances").size, 350);
  assert.deepEqual(sorted(viewOf(one)), sorted(stored(shared)));
  assert.deepEqual(sorted(viewOf(other)), sorted(stored(shared)));
  assert.deepEqual(
    ["120", "8"].map((id) => one.get(`instances/${id}`)?.value),
    ["other", "1"],
  );
});

test("a store that refuses is asked again as long as its connection lasts, and what is not written stays known", async () => {
  const time = createManualTime();
  const mirror = createSharedMirror({
    ...{ clusterId: "1", revision: 9 },
    records: [{ key: "config/a", value: "1", revision: 4 }],
  });
  let refuses = true;
  let over = false;
  const write: SharedStore["write"] = async ({ seen, puts = [] }) => {
    if (refuses) throw new Error("no space");
    assert.deepEqual(
      seen.map(({ revision }) => revision),
      [0, 0],
    );
    mirror.takeChanges(puts.map(({ key, value }) => ({ key, value, revision: 6 })));
    return { kind: "written", revision: 6 };
  };
  const mender = createStoreMender({ mirror, write, markId: () => "x", setTimer: time.setTimer, log: silentLogger });
  mender.take({ clusterId: "1", revision: 5, records: [] });
  const first = mender.mend(() => over);
  await time.advance(10_000);
  assert.deepEqual(mender.counts(), { times: 1, written: 0, overtaken: 0, left: 1, takenOut: 0 });
  over = true;
  await time.advance(2_000);
  await first;
  assert.equal(mirror.get("config/a")?.value, "1");
  // The next connection goes on.
  mender.take({ clusterId: "1", revision: 5, records: [] });
  refuses = false;
  await mender.mend(() => false);
  assert.deepEqual(mender.counts(), { times: 1, written: 1, overtaken: 0, left: 0, takenOut: 0 });
  assert.deepEqual([mirror.repair(), markIn(mirror.get(repairedKey))], [undefined, { knownTo: 9, revision: 6 }]);
});

test("a write that always meets others' changes is given up after a while, not tried without end", async () => {
  const mirror = createSharedMirror({
    clusterId: "1",
    revision: 9,
    records: [{ key: "config/a", value: "1", revision: 4 }],
  });
  mirror.takeList({ clusterId: "1", revision: 5, records: [] });
  let writes = 0;
  const write: SharedStore["write"] = async () => {
    writes++;
    return { kind: "conflict" };
  };
  const done = await writeBack({ mirror, write, markId: () => "x", again: async () => false, isOver: () => false });
  assert.deepEqual(done, { written: 0, overtaken: 0, left: 1 });
  assert.ok(writes < 20);
});

test("a kept view knows which records are leased; of an older one it is told by their group", () => {
  using disk = openKeyValueStore(":memory:");
  const mirror = createSharedMirror();
  const keeping = keepShared(mirror, { ...createManualTime(), disk, origin: "/weft/", log: silentLogger });
  mirror.takeList({
    ...{ clusterId: "1", revision: 9 },
    records: [
      { key: "config/a", value: "1", revision: 4, leased: true },
      { key: "alive/b", value: "1", revision: 5, leased: false },
      { key: "alive/c", value: "1", revision: 6 },
      { key: "config/d", value: "1", revision: 7 },
    ],
  });
  keeping[Symbol.dispose]();
  const leased = loadShared(disk, "/weft/")?.records.map((record) => [record.key, isLeased(record)]);
  assert.deepEqual(
    new Map(leased as [string, boolean][]),
    new Map([
      ["config/a", true],
      ["alive/b", false],
      ["alive/c", true],
      ["config/d", false],
    ]),
  );
});

test("what is kept on disk is of before the store went back, until that is mended", () => {
  using disk = openKeyValueStore(":memory:");
  const mirror = createSharedMirror();
  const keep = () => keepShared(mirror, { ...createManualTime(), disk, origin: "/weft/", log: silentLogger });
  const first = keep();
  mirror.takeList({ clusterId: "1", revision: 9, records: [{ key: "config/a", value: "1", revision: 4 }] });
  first[Symbol.dispose]();
  const second = keep();
  mirror.takeList({ clusterId: "1", revision: 5, records: [{ key: "config/b", value: "1", revision: 2 }] });
  second[Symbol.dispose]();
  assert.deepEqual([loadShared(disk, "/weft/")?.revision, loadShared(disk, "/weft/")?.records.length], [9, 1]);
});

test("an instance that was written back gets its time again from one of the replicas, and goes when nobody renews it", async () => {
  const time = createManualTime();
  const shared = createMemoryShared();
  const open = (id: string) => {
    const store = shared.open();
    const replica = openReplica({ store, id, ...time, log: silentLogger });
    const registry = createSharedRegistry({ store, clock: time.clock });
    const expiry = openSharedExpiry({ store, replica, registry, ...time, log: silentLogger });
    return { store, registry, expiry, ids: () => registry.list().map((one) => one.id) };
  };
  const [one, two] = [open("1"), open("2")];
  await time.advance(0);
  const older = shared.copy();
  for (const id of ["a", "b"])
    await one.registry.put(
      { namespace: "default", service: "shop", id },
      { address: "10.0.0.1", port: 80, ttlSeconds: 5 },
    );
  for (const { store } of [one, two]) store.cut();
  shared.putBack(older);
  for (const { store } of [two, one]) store.mend();
  await time.advance(1_000);
  assert.deepEqual(
    [one.ids(), two.ids()],
    [
      ["a", "b"],
      ["a", "b"],
    ],
  );
  assert.ok(!shared.records.has("alive/default/shop/a"));
  await assert.rejects(async () => two.registry.heartbeat({ namespace: "default", service: "shop", id: "a" }), {
    code: "WF8003",
  });
  await time.advance(20_000);
  const { lease } = shared.records.get("alive/default/shop/a") ?? {};
  assert.ok(lease !== undefined && shared.records.has("alive/default/shop/b"));
  await two.registry.heartbeat({ namespace: "default", service: "shop", id: "b" });
  shared.expire(lease);
  await time.advance(0);
  assert.deepEqual([one.ids(), two.ids()], [["b"], ["b"]]);
});

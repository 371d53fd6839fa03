/** What was taken out, and came back when the shared store went back: it goes again, and nothing else does. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createGraph } from "@weft/core/collection";
import { type Logger, silentLogger } from "@weft/core/world";
import { openKeyValueStore } from "@weft/net/sqlite/key-value-store";
import fc from "fast-check";
import { type ConfigItem, sameConfigItem } from "../../model/config-item.ts";
import { createSharedRegistry } from "../../registries/embedded/shared-registry.ts";
import { createConfigStore } from "../config-store.ts";
import { repairedKey, sweptKey } from "./gone-back.ts";
import { openReplica, replicaGroup } from "./replica.ts";
import { createSeal } from "./seal.ts";
import { createSharedConfig, sharedPersistence } from "./shared-config.ts";
import { keepShared, loadShared } from "./shared-disk.ts";
import { createSharedMirror } from "./shared-mirror.ts";
import type { SharedStore } from "./shared-store.ts";
import { createEndedStamps, createStamps, stamped, stampOf, unstamped } from "./stamps.ts";
import { attemptsMax, settleMs } from "./take-out.ts";
import { createManualTime } from "./testing/manual-time.ts";
import { createMemoryShared, type MemoryShared } from "./testing/memory-shared-store.ts";
import { createStoreMender } from "./write-back.ts";

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
};
const valueWith = (n: number): string => JSON.stringify({ instance: { n, ttlSeconds: 0 } });
const numberIn = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : (JSON.parse(text) as { instance: { n: number } }).instance.n;
const keys = ["config/a", "instances/b", "instances/c"];
/** What is there, by key. */
const contentOf = ({ records }: Pick<MemoryShared, "records">): ReadonlyMap<string, number | undefined> =>
  new Map(keys.flatMap((key) => (records.has(key) ? [[key, numberIn(records.get(key)?.value)]] : [])));

const put = (store: SharedStore, key: string, n: number) =>
  store.write({ seen: [], puts: [{ key, value: valueWith(n) }] });
const remove = (store: SharedStore, key: string) => store.write({ seen: [], deletes: [key] });

const setUp = async () => {
  const time = createManualTime();
  const shared = createMemoryShared(time);
  const open = (id: string) => {
    const store = shared.open();
    const replica = openReplica({ store, id, ...time, log: silentLogger });
    return Object.assign(store, { [Symbol.asyncDispose]: () => replica[Symbol.asyncDispose]() });
  };
  /** Leases of replicas that do not come in time end. */
  const putBack = (copy: ReturnType<typeof shared.copy>): void => {
    shared.putBack(copy);
    for (const [key, { lease }] of copy.records)
      if (key.startsWith(`${replicaGroup}/`) && lease !== undefined) shared.expire(lease);
  };
  return { time, shared, open, putBack };
};

const op = fc.record({ key: fc.constantFrom(...keys), isPut: fc.boolean() });
const ways = fc.record({
  all: fc.array(op, { minLength: 4, maxLength: 20 }),
  /** When the copy is taken, and when one of the replicas is cut off. */
  at: fc.nat(10),
  cutAt: fc.nat(20),
  /** Who comes back after the store went back, in which order, after how long. */
  order: fc.constantFrom(
    "whole late",
    "whole late",
    "whole late",
    "late whole",
    "whole",
    "late",
    "whole late whole",
    "late whole late",
  ),
  gaps: fc.array(fc.constantFrom(0, 0, 0, 3_000, 40_000), { minLength: 3, maxLength: 3 }),
  hasFresh: fc.boolean(),
  /** What somebody does then, through whom is there, after so many of them came. */
  acts: fc.array(fc.record({ op, after: fc.nat(3) }), { maxLength: 2 }),
});

test("whoever comes back when, who knew less, and whatever is written then: only what was taken out goes", async () => {
  let [swept, spared] = [0, 0];
  await fc.assert(
    fc.asyncProperty(ways, async ({ all, at, cutAt, order, gaps, hasFresh, acts }) => {
      const { time, shared, open, putBack } = await setUp();
      await using whole = open("whole");
      await using late = open("late");
      await time.advance(0);
      let older = shared.copy();
      let n = 0;
      for (const [i, { key, isPut }] of all.entries()) {
        if (i === at) older = shared.copy();
        if (i === cutAt) late.cut();
        await (isPut ? put(whole, key, n++) : remove(whole, key));
      }
      const truth = contentOf(shared);
      const isOld = older.revision < whole.revision();
      whole.cut();
      late.cut();
      putBack(older);
      const before = contentOf(shared);
      await using fresh = hasFresh ? open("fresh") : undefined;
      const users = new Map<string, boolean>();
      const wrong: string[] = [];
      using following = new DisposableStack();
      // One that is behind may have to believe that what it knew was taken out.
      for (const store of [whole, fresh])
        for (const group of ["config", "instances"])
          if (store)
            following.use(
              store.follow(group, (changes) => {
                for (const { key, after } of changes)
                  if (!after && users.get(key) !== false && (truth.has(key) || users.has(key))) wrong.push(key);
              }),
            );
      const act = async (after: number, through: SharedStore | undefined): Promise<void> => {
        for (const one of acts) {
          if (one.after !== after || !through) continue;
          users.set(one.op.key, one.op.isPut);
          await (one.op.isPut ? put(through, one.op.key, n++) : remove(through, one.op.key));
        }
      };
      await act(0, fresh);
      const came = order.split(" ");
      for (const [i, name] of came.entries()) {
        const store = name === "whole" ? whole : late;
        store.cut();
        store.mend();
        await time.advance(gaps[i] ?? 0);
        await act(i + 1, store);
      }
      await time.advance((attemptsMax + 1) * settleMs);
      await settle();
      const now = contentOf(shared);
      for (const [key, isPut] of users) if (isPut) assert.ok(now.has(key), `${key} was written then`);
      assert.deepEqual(wrong, []);
      const isWhole = came.includes("whole");
      for (const key of keys) {
        if (users.has(key)) continue;
        if (isWhole && truth.has(key)) assert.ok(now.has(key), `${key} is lost`);
        if (!isWhole && before.has(key)) assert.ok(now.has(key), `${key} was taken out by one who was behind`);
        if (isWhole && came.length === 2 && came[0] === "whole" && isOld && gaps[0] === 0) {
          assert.equal(now.get(key), truth.get(key), `${key} is back`);
          if (before.has(key) && !truth.has(key)) swept++;
        }
        if (!isWhole && before.has(key) && !truth.has(key)) spared++;
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(swept > 0 && spared > 0, `${swept} went and ${spared} were spared`);
});

test("what was taken out goes half a minute after the store went back, from all replicas, and only that", async () => {
  const { time, shared, open, putBack } = await setUp();
  await using one = open("1");
  await using two = open("2");
  await time.advance(0);
  for (const [n, key] of keys.entries()) await put(one, key, n);
  await put(two, "instances/b", 7);
  const older = shared.copy();
  for (const key of ["instances/b", "config/a"]) await remove(two, key);
  for (const store of [one, two]) store.cut();
  putBack(older);
  await using fresh = open("3");
  for (const store of [one, two]) store.mend();
  await time.advance(5_000);
  assert.equal(contentOf(shared).size, 3);
  await time.advance(settleMs);
  for (const store of [one, two, fresh])
    assert.deepEqual(
      [numberIn(store.get("instances/c")?.value), store.get("instances/b"), store.get("config/a")],
      [2, undefined, undefined],
    );
  assert.deepEqual([...contentOf(shared).keys()], ["instances/c"]);
  // Once more from the same copy, and now somebody wants it.
  for (const store of [one, two, fresh]) store.cut();
  putBack(older);
  for (const store of [one, two, fresh]) store.mend();
  await put(fresh, "instances/b", 7);
  await time.advance(2 * settleMs);
  assert.deepEqual([...contentOf(shared)].sort(), [
    ["instances/b", 7],
    ["instances/c", 2],
  ]);
});

test("an equal registration, and an object applied as it is, keep what came back, at a replica that knows of nothing too", async () => {
  const { time, shared, open, putBack } = await setUp();
  const clock = time.clock;
  const seal = createSeal("0123456789abcdef0123456789abcdef", randomBytes);
  await using one = open("1");
  await time.advance(0);
  const opened = (store: typeof one) => {
    const source = createGraph().source<ConfigItem>("config", { equal: sameConfigItem });
    const options = { store, seal, log: silentLogger };
    const persistence = sharedPersistence(options);
    const config = createConfigStore({ source, commit: () => {}, persistence, log: silentLogger });
    return { registry: createSharedRegistry({ store, clock }), writer: createSharedConfig(options, config) };
  };
  const here = opened(one);
  const ref = (id: string) => ({ namespace: "default", service: "shop", id });
  const body = { address: "10.0.0.1", port: 80 };
  const entry = (name: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}}
spec: {hosts: [${name}.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
`;
  const applying = { file: "test", dryRun: false };
  for (const name of ["a", "b"]) {
    await here.registry.put(ref(name), body);
    await here.writer.apply(entry(name), applying);
  }
  const older = shared.copy();
  for (const name of ["a", "b"]) {
    await here.registry.remove(ref(name));
    await here.writer.deleteOne(`ServiceEntry/default/${name}`, false);
  }
  one.cut();
  putBack(older);
  await using fresh = open("2");
  const there = opened(fresh);
  assert.equal((await there.registry.put(ref("a"), body)).created, false);
  assert.equal((await there.writer.apply(entry("a"), applying)).items[0]?.result, "unchanged");
  one.mend();
  await time.advance(2 * settleMs);
  const left = [...shared.records.keys()].filter((key) => /^(config|instances)\//.test(key));
  assert.deepEqual(left, ["instances/default/shop/a", "config/ServiceEntry/default/a"]);
  // Once written, it is not written with each registration.
  const { revision } = shared.records.get("instances/default/shop/a") ?? {};
  await there.registry.put(ref("a"), body);
  assert.equal(shared.records.get("instances/default/shop/a")?.revision, revision);
});

test("while a replica that was there is not back nothing is taken out; in the end it is said what came back", async () => {
  const lines: string[] = [];
  const note = (message: string, fields: object = {}) => void lines.push(JSON.stringify({ message, ...fields }));
  const log: Logger = { ...silentLogger, info: note, warn: note, error: note };
  const time = createManualTime();
  const value = `{"instance":{"ttlSeconds":0},"stamp":"p.1"}`;
  for (const others of [[], ["replicas/other"]]) {
    lines.length = 0;
    const mirror = createSharedMirror();
    const replica = (revision: number) => ({ key: "replicas/own", value: "{}", revision, leased: true });
    mirror.takeList({ clusterId: "1", revision: 4, records: [replica(3)] });
    for (const [i, key] of others.entries()) mirror.takeChanges([{ key, value: "{}", revision: 5 + i, leased: true }]);
    mirror.takeChanges([{ key: "instances/a/b/c", value, revision: 7 }]);
    mirror.takeChanges([{ key: "instances/a/b/c", revision: 8 }]);
    mirror.takeChanges([{ key: "config/x", value: "{}", revision: 9 }]);
    const write: SharedStore["write"] = async ({ seen, puts = [], deletes = [] }) => {
      const revision = mirror.revision() + 1;
      for (const { key, revision: at } of seen) assert.equal(mirror.get(key)?.revision ?? 0, at);
      // Whoever writes it anew meanwhile, or marks that more is known, is first.
      if (deletes.length > 0)
        assert.deepEqual(
          seen.map(({ key }) => key),
          [...deletes, repairedKey],
        );
      mirror.takeChanges([
        ...deletes.map((key) => ({ key, revision })),
        ...puts.map(({ key, value: text }) => ({ key, value: text, revision })),
      ]);
      return { kind: "written", revision };
    };
    const mender = createStoreMender({ mirror, write, markId: () => "x", setTimer: time.setTimer, log });
    const came = { key: "instances/a/b/c", value, revision: 7 };
    mender.take({ clusterId: "2", revision: 7, records: [replica(6), came] });
    const mending = mender.mend(() => false);
    // It is said when it begins.
    assert.match(lines[0] ?? "", /WF2270","lacking":1,"returned":1,"knownTo":9,"revision":7/);
    await time.advance((attemptsMax + 1) * settleMs);
    await mending;
    assert.match(lines[1] ?? "", /has again what it lacked.*WF2270","written":1/);
    const isAlone = others.length === 0;
    assert.equal(mirror.get("instances/a/b/c") === undefined, isAlone);
    assert.equal(mender.counts().takenOut, isAlone ? 1 : 0);
    assert.match(
      lines[2] ?? "",
      isAlone ? /WF2285","records":1,"keys":"instances\/a\/b\/c"/ : /WF2286.*replicas\/other/,
    );
    assert.equal(mirror.returned.all().size, 0);
    assert.equal(lines.length, 3);
  }
});

test("one who knows more keeps what another takes out of the store, and writes it back", () => {
  const mirror = createSharedMirror();
  mirror.takeList({ clusterId: "1", revision: 9, records: [{ key: "config/a", value: "new", revision: 8 }] });
  mirror.takeList({ clusterId: "2", revision: 4, records: [{ key: "config/a", value: "old", revision: 3 }] });
  const swept = (knownTo: number, revision: number) => [
    { key: "config/a", revision },
    { key: sweptKey, value: JSON.stringify({ knownTo }), revision },
  ];
  mirror.takeChanges(swept(6, 5));
  assert.equal(mirror.get("config/a")?.value, "new");
  assert.deepEqual(mirror.repair()?.lacking.get("config/a")?.kept.revision, 0);
  // Anybody else may take it out.
  mirror.takeChanges([{ key: "config/a", revision: 6 }]);
  assert.equal(mirror.get("config/a"), undefined);
});

test("each write has a stamp of its own, once, where its end is told; what is remembered of ended ones has a bound", () => {
  const stamp = createStamps("1700000000000-0.5_X");
  const first = stamped({ key: "instances/a", value: `{"a":1}` }, stamp);
  assert.deepEqual(JSON.parse(first), { a: 1, stamp: stampOf(first) });
  assert.notEqual(stampOf(stamped({ key: "instances/a", value: `{"a":1}` }, stamp)), stampOf(first));
  assert.equal(stamped({ key: "instances/a", value: first }, stamp), first);
  assert.equal(unstamped(first), `{"a":1}`);
  for (const [key, value] of [
    ["alive/a", `{"a":1}`],
    ["config/a", "text"],
    ["config/a", "{}"],
  ] as const)
    assert.equal(stamped({ key, value }, stamp), value);
  const ended = createEndedStamps(2);
  const values = [1, 2, 3].map((a) => stamped({ key: "config/a", value: JSON.stringify({ a }) }, stamp));
  const written = values.map((value, i) => ({ value, revision: i + 4 }));
  for (const each of written) ended.add(each);
  assert.deepEqual(written.map(ended.has), [false, true, true]);
  // What was written back, by one who knew less, is another's word.
  assert.ok(!ended.has({ value: values[2] as string, revision: 9 }));
});

test("a store with another history has gone back, however far it has come since", () => {
  const known = { clusterId: "1", revision: 9, records: [{ key: "config/a", value: "1", revision: 8 }] };
  for (const list of [
    { clusterId: "1", revision: 20, isOther: true, records: [] },
    // Written before the last that is known, and not known.
    { clusterId: "1", revision: 20, records: [{ key: "config/b", value: "1", revision: 9 }] },
  ]) {
    const mirror = createSharedMirror(known);
    assert.equal(mirror.newest()?.key, "config/a");
    mirror.takeList(list);
    assert.deepEqual([mirror.get("config/a")?.value, mirror.repair()?.lacking.size], ["1", 1]);
  }
});

test("of a view that was damaged on disk nobody knows what it had, so what it lacks is taken from the store", () => {
  using disk = openKeyValueStore(":memory:");
  const first = createSharedMirror();
  const keeping = keepShared(first, { ...createManualTime(), disk, origin: "/weft/", log: silentLogger });
  const records = ["config/a", "config/b", "config/c"].map((key, i) => ({ key, value: "1", revision: 4 + i }));
  first.takeList({ clusterId: "1", revision: 9, records });
  keeping[Symbol.dispose]();
  disk.write([{ key: "record/config/a", value: "{" }]);
  const mirror = createSharedMirror(loadShared(disk, "/weft/"));
  assert.equal(mirror.get("config/a"), undefined);
  mirror.takeList({ clusterId: "1", revision: 12, records: records.slice(0, 2) });
  assert.deepEqual([mirror.repair(), [...mirror.group("config").keys()].sort()], [undefined, ["config/a", "config/b"]]);
});

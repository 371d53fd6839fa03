/** Instances whose leases end: with replicas that listen, with none, with one that comes back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { replicaLimits } from "../../store/shared/replica.ts";
import { ofSeveral, ownMax } from "./shared-leases.ts";
import { openSharedWorld } from "./testing/shared-world.ts";

const ref = (id: string) => ({ namespace: "default", service: "shop", id });
const body = (port: number, more: object = {}) => ({ address: "10.0.0.1", port, ttlSeconds: 5, ...more });

const world = () => {
  const { time, shared, open: openOne, expire } = openSharedWorld();
  const open = (id: string) => {
    const one = openOne(id);
    return { ...one, ids: () => one.registry.list().map(({ id }) => id) };
  };
  const runOut = (id: string): void => expire(`shop/${id}`);
  const lives = (id: string): boolean => shared.records.has(`alive/default/shop/${id}`);
  return { time, shared, open, runOut, lives };
};

test("an instance whose time is over while replicas listen is taken out once, and all of them say so once", async () => {
  const { time, open, runOut, shared } = world();
  const [one, two] = [open("1"), open("2")];
  await time.advance(0);
  const told: string[] = [];
  for (const { registry } of [one, two]) registry.watch({}, ({ type, object }) => told.push(`${type} ${object.id}`));
  await one.registry.put(ref("a"), body(80));
  await one.registry.put(ref("b"), body(80));
  runOut("a");
  await time.advance(0);
  assert.deepEqual(told, ["ADDED a", "ADDED a", "ADDED b", "ADDED b", "DELETED a", "DELETED a"]);
  assert.ok(!shared.records.has("instances/default/shop/a"));
  await assert.rejects(async () => two.registry.heartbeat(ref("a")), { code: "WF8003" });
  assert.ok((await two.registry.put(ref("a"), body(80))).created);
});

test("many that run out at once all go, whichever replica is first with which", async () => {
  const { time, open, runOut } = world();
  const [one, two] = [open("1"), open("2")];
  await time.advance(0);
  const ids = Array.from({ length: 100 }, (_, i) => `i${i}`);
  const staying = ids.map((id) => `stays-${id}`).sort();
  for (const id of ids) await one.registry.put(ref(id), body(80));
  for (const id of staying) await one.registry.put(ref(id), body(80, { ttlSeconds: 0 }));
  for (const id of ids) runOut(id);
  await time.advance(0);
  assert.deepEqual([one.ids(), two.ids()], [staying, staying]);
});

test("what ran out while no replica was there is still in force at the next start, with its whole time again", async () => {
  const { time, open, runOut, lives } = world();
  const first = open("1");
  await time.advance(0);
  await first.registry.put(ref("a"), body(80));
  await first.registry.put(ref("b"), body(80));
  await first.registry.put(ref("fixed"), body(80, { ttlSeconds: 0 }));
  first.die();
  runOut("a");
  const next = open("2");
  const told: string[] = [];
  next.registry.watch({ since: next.registry.version() }, ({ type }) => told.push(type));
  assert.deepEqual(next.ids(), ["a", "b", "fixed"]);
  await time.advance(0);
  assert.ok(lives("a") && lives("b") && !lives("fixed"));
  assert.deepEqual(told, []);
  await next.registry.heartbeat(ref("a"));
  // From here on it is as ever.
  runOut("a");
  await time.advance(0);
  assert.deepEqual(next.ids(), ["b", "fixed"]);
});

test("a replica that comes while another listens leaves it to that one", async () => {
  const { time, open, runOut, lives } = world();
  const one = open("2");
  await time.advance(0);
  await one.registry.put(ref("a"), body(80));
  const other = open("1");
  runOut("a");
  await time.advance(0);
  assert.deepEqual([one.ids(), other.ids(), lives("a")], [[], [], false]);
});

test("one that was away from the store when leases ended believes none of them", async () => {
  const { time, open, runOut, lives } = world();
  const one = open("1");
  await time.advance(0);
  await one.registry.put(ref("a"), body(80));
  one.store.cut();
  runOut("a");
  await time.advance(replicaLimits.currentMs + 1);
  one.store.mend();
  await time.advance(0);
  assert.deepEqual(one.ids(), ["a"]);
  await time.advance(60_000);
  assert.deepEqual([one.ids(), lives("a")], [["a"], true]);
});

test("one that stood still believes no end it is told of afterwards", async () => {
  const { time, open, runOut } = world();
  const store = open("1");
  await time.advance(0);
  await store.registry.put(ref("a"), body(80));
  store.store.cut();
  await time.advance(replicaLimits.currentMs + 1);
  // As the watch tells it: all that happened, in its order, before any timer has run.
  store.store.mend();
  runOut("a");
  await time.advance(0);
  assert.deepEqual(store.ids(), ["a"]);
});

test("an instance that is taken out, or need not be renewed any more, leaves nothing behind", async () => {
  const { time, open, lives } = world();
  const one = open("1");
  await time.advance(0);
  await one.registry.put(ref("a"), body(80));
  await one.registry.put(ref("a"), body(80, { ttlSeconds: 0 }));
  assert.ok(!lives("a"));
  await one.registry.heartbeat(ref("a"));
  await one.registry.put(ref("b"), body(80));
  await one.registry.remove(ref("b"));
  assert.ok(!lives("b"));
  await time.advance(60_000);
  assert.deepEqual(one.ids(), ["a"]);
});

test("a replica that comes back alone gives those that share a lease one each: nobody could have told it that they live", async () => {
  const { time, shared, open, runOut, lives } = world();
  const one = open("1");
  await time.advance(0);
  const ids = Array.from({ length: ownMax + 3 }, (_, at) => `i${at}`);
  for (const id of ids) await one.registry.put(ref(id), body(80, { ttlSeconds: 60 }));
  const [last, other] = [ids.at(-1) ?? "", ids.at(-2) ?? ""];
  const several = shared.records.get(`alive/default/shop/${last}`);
  assert.equal(several?.value, ofSeveral);
  one.die();
  const two = open("2");
  await time.advance(replicaLimits.ttlSeconds * 1_000);
  const own = shared.records.get(`alive/default/shop/${last}`);
  assert.deepEqual([own?.value, own?.lease === several?.lease], [own?.lease, false]);
  shared.expire(several?.lease ?? "");
  runOut(other);
  assert.deepEqual([lives(last), lives(other)], [true, false]);
  assert.ok(two.ids().includes(last));
});

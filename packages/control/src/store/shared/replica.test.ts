import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { openReplica, replicaLimits } from "./replica.ts";
import { createManualTime } from "./testing/manual-time.ts";
import { createMemoryShared } from "./testing/memory-shared-store.ts";

const world = () => {
  const time = createManualTime();
  const shared = createMemoryShared();
  const open = (id: string) => {
    const store = shared.open();
    const { clock, setTimer } = time;
    const replica = openReplica({ store, id, clock, setTimer, log: silentLogger });
    const joined: boolean[] = [];
    replica.onJoined((alone) => joined.push(alone));
    return { store, replica, joined };
  };
  const leaseOf = (id: string): string => shared.records.get(`replicas/${id}`)?.lease ?? "";
  return { time, shared, open, leaseOf };
};

test("replicas know each other, one of them is the first, and who came to nobody is told so", async () => {
  const { time, open } = world();
  const two = open("2");
  await time.advance(0);
  const one = open("1");
  assert.deepEqual([one.replica.isFirst(), one.replica.isCurrent(), one.replica.lease()], [false, false, undefined]);
  await time.advance(0);
  assert.deepEqual(one.replica.all(), ["1", "2"]);
  assert.deepEqual(two.replica.all(), ["1", "2"]);
  assert.deepEqual([one.replica.isFirst(), two.replica.isFirst()], [true, false]);
  assert.deepEqual([one.joined, two.joined], [[false], [true]]);
  assert.ok(one.replica.isCurrent() && two.replica.isCurrent());
});

test("one that ends is gone at once; one that dies is gone with its lease, and then the next is first", async () => {
  const { time, shared, open, leaseOf } = world();
  const all = ["1", "2", "3"].map(open);
  await time.advance(0);
  await all[0]?.replica[Symbol.asyncDispose]();
  assert.deepEqual(all[2]?.replica.all(), ["2", "3"]);
  all[1]?.store.cut();
  shared.expire(leaseOf("2"));
  assert.deepEqual(all[2]?.replica.all(), ["3"]);
  assert.ok(all[2]?.replica.isFirst());
});

test("a lease that was lost is followed by a new one, and by coming again", async () => {
  const { time, shared, open, leaseOf } = world();
  const { replica, joined } = open("1");
  await time.advance(0);
  const before = replica.lease();
  shared.expire(leaseOf("1"));
  await time.advance(replicaLimits.renewMs);
  assert.notEqual(replica.lease(), before);
  assert.deepEqual([replica.all(), joined], [["1"], [true, true]]);
});

test("one that cannot reach the store is not current after a while, and comes back by itself", async () => {
  const { time, shared, open, leaseOf } = world();
  const { store, replica, joined } = open("1");
  await time.advance(0);
  const lease = leaseOf("1");
  store.cut();
  assert.ok(!replica.isCurrent());
  await time.advance(60_000);
  shared.expire(lease);
  store.mend();
  assert.ok(!replica.isCurrent(), "what is told now happened before");
  await time.advance(replicaLimits.renewMs);
  assert.ok(replica.isCurrent());
  assert.deepEqual(joined, [true, true]);
});

test("nothing is written while nothing changes", async () => {
  const { time, open } = world();
  const { store } = open("1");
  await time.advance(0);
  const revision = store.revision();
  await time.advance(600_000);
  assert.equal(store.revision(), revision);
});

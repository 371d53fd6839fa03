import assert from "node:assert/strict";
import { test } from "node:test";
import { createBucketsMemory, openSharedBuckets } from "./shared-buckets.ts";

const open = (rows = 8) => {
  const memory = createBucketsMemory(2, rows);
  const gone: (() => void)[] = [];
  let full = 0;
  const lane = (number: number) =>
    openSharedBuckets(memory, number, { onFull: () => full++, watch: (_, letGo) => gone.push(letGo) });
  return { lane, gone, full: () => full };
};

test("threads that made a bucket of the same text take from one, which fills evenly", () => {
  const { lane } = open();
  const one = lane(1).of("route a", () => "{}")(3, 1 / 1000);
  const other = lane(2).of("route a", () => "{}")(3, 1 / 1000);
  // A clock that has only just begun leaves the bucket full all the same.
  assert.deepEqual(
    [one.take(0), other.take(0), one.take(0), other.take(0), one.take(0)],
    [true, true, true, false, false],
  );
  assert.equal(other.resetSeconds(0), 1);
  assert.equal(other.remaining(2500), 2);
  assert.deepEqual([one.take(1000), other.take(1000)], [true, false]);
  assert.equal(one.remaining(1e9), 3);
});

test("buckets of one resource are apart, and another text has full ones", () => {
  const { lane } = open();
  const make = lane(1).of("route a", () => "old");
  const [first, second] = [make(1, 1 / 1000), make(1, 1 / 1000)];
  assert.deepEqual([first.take(5), first.take(5), second.take(5)], [true, false, true]);
  assert.equal(
    lane(2)
      .of("route a", () => "new")(1, 1 / 1000)
      .take(5),
    true,
  );
  assert.equal(
    lane(2)
      .of("route b", () => "old")(1, 1 / 1000)
      .take(5),
    true,
  );
  assert.equal(
    lane(2)
      .of("route a", () => "old")(1, 1 / 1000)
      .take(5),
    false,
  );
});

test("a row is held from the first request on, and free when the last thread is done with it", () => {
  const { lane, gone, full } = open(1);
  const [one, other] = [lane(1), lane(2)];
  one.of("never met", () => "{}")(1, 1);
  const [mine, theirs] = [one.of("a", () => "{}")(1, 1 / 1000), other.of("a", () => "{}")(1, 1 / 1000)];
  assert.deepEqual([mine.take(5), theirs.take(5)], [true, false]);
  gone[0]?.();
  assert.equal(
    one
      .of("b", () => "{}")(1, 1 / 1000)
      .take(5),
    true,
  );
  assert.equal(full(), 1);
  gone[1]?.();
  const next = other.of("c", () => "{}")(1, 1 / 1000);
  assert.deepEqual([next.take(5), next.take(5)], [true, false]);
  assert.equal(full(), 1);
});

test("a thread without room keeps the limit by itself, and a dead one leaves the bucket as it was", () => {
  const { lane } = open(1);
  const [one, other] = [lane(1), lane(2)];
  const held = one.of("a", () => "{}")(2, 1 / 1000);
  assert.equal(held.take(5), true);
  const own = one.of("b", () => "{}")(1, 1 / 1000);
  assert.deepEqual([own.take(5), own.take(5), own.remaining(5)], [true, false, 0]);
  const same = other.of("a", () => "{}")(2, 1 / 1000);
  assert.equal(same.remaining(5), 1);
  lane(0).clearLane(1);
  assert.deepEqual([same.take(5), same.take(5)], [true, false]);
});

test("buckets that are made for keys as they come are shared by key", () => {
  const { lane } = open();
  const [one, other] = [lane(1), lane(2)].map((each) => each.of("a", () => "{}")(1, 1 / 1000));
  assert.ok(one && other);
  assert.deepEqual([one.alike("ann").take(5), other.alike("bob").take(5)], [true, true]);
  assert.deepEqual([other.alike("ann").take(5), one.alike("bob").take(5), one.take(5)], [false, false, true]);
});

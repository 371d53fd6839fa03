/** Retries nobody wrote, counted over time: a share of what came, and the first ones of what is quiet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RetryShare } from "./retry-share.ts";

const percent = 20;

test("the first failures of a quiet cluster are repeated, and then no more for ten seconds", () => {
  const share = new RetryShare();
  const taken = [0, 1, 2, 3, 4].map((nowMs) => {
    share.count(nowMs);
    return share.take(nowMs, percent, 3);
  });
  assert.deepEqual(taken, [true, true, true, false, false]);
  assert.equal(share.take(4_999, percent, 3), false);
  assert.equal(share.take(9_999, percent, 3), false);
  assert.equal(share.take(10_000, percent, 3), true);
});

test("beyond those a share of what came is, also of what came a moment before", () => {
  const share = new RetryShare();
  for (let i = 0; i < 100; i++) share.count(0);
  let taken = 0;
  while (share.take(6_000, percent, 3)) taken++;
  assert.equal(taken, 20);
  for (let i = 0; i < 10; i++) share.count(6_000);
  assert.ok(share.take(6_000, percent, 3));
});

test("nothing is allowed where both bounds are 0", () => {
  const share = new RetryShare();
  for (let i = 0; i < 100; i++) share.count(0);
  assert.equal(share.take(0, 0, 0), false);
});

test("whatever comes when, retries are no more than the share of all and those of each time", () => {
  const step = fc.record({ afterMs: fc.nat(4_000), requests: fc.nat(40) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const share = new RetryShare();
      let nowMs = 0;
      let requests = 0;
      let retries = 0;
      for (const one of steps) {
        nowMs += one.afterMs;
        for (let i = 0; i < one.requests; i++) share.count(nowMs);
        requests += one.requests;
        while (share.take(nowMs, percent, 3)) retries++;
      }
      const halves = 1 + Math.floor(nowMs / 5_000);
      assert.ok(retries <= 2 * ((requests * percent) / 100) + 3 * halves, `${retries} for ${requests}`);
    }),
  );
});

test("where all fail all the time, retries are that share of the requests and no more than a few", () => {
  for (const everyMs of [1, 10, 100, 1_000]) {
    const share = new RetryShare();
    let retries = 0;
    for (let i = 1; i <= 2_000; i++) {
      share.count(i * everyMs);
      if (share.take(i * everyMs, percent, 3)) retries++;
    }
    const quiet = 3 * Math.ceil((2_000 * everyMs) / 10_000);
    assert.ok(retries <= Math.max(2_000 * 0.2 + 3, quiet + 3), `${retries} with one in ${everyMs} ms`);
  }
});

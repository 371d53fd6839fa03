import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HedgePace } from "./hedge-pace.ts";

const after = (times: readonly number[]): HedgePace => {
  const pace = new HedgePace();
  for (const ms of times) pace.took(ms);
  return pace;
};
const of = (count: number, ms: number): number[] => new Array(count).fill(ms);

test("nothing is slow before enough is known", () => {
  assert.equal(after(of(49, 3)).slowFrom(95), Number.POSITIVE_INFINITY);
  assert.ok(after(of(50, 3)).slowFrom(95) < 4);
});

test("the bound is at the percentile's own time or up to a fifth above it", () => {
  const times = fc.array(fc.double({ min: 1, max: 60_000, noNaN: true }), { minLength: 50, maxLength: 400 });
  fc.assert(
    fc.property(times, fc.integer({ min: 50, max: 99 }), (all, percentile) => {
      const sorted = [...all].sort((a, b) => a - b);
      const exact = sorted[Math.max(0, Math.ceil((all.length * percentile) / 100) - 1)] ?? 0;
      const found = after(all).slowFrom(percentile);
      assert.ok(found >= exact && found <= exact * 1.2, `${found} for ${exact}`);
    }),
  );
});

test("a few that take forever do not move it, more than the percentile leaves out do", () => {
  assert.ok(after([...of(960, 4), ...of(40, 100_000)]).slowFrom(95) < 6);
  assert.ok(after([...of(900, 4), ...of(100, 100_000)]).slowFrom(95) > 90_000);
});

test("what was long ago is outweighed by what is now", () => {
  assert.ok(after([...of(20_000, 1_000), ...of(4_096, 2)]).slowFrom(50) < 4);
});

test("times of any size are taken", () => {
  for (const ms of [0, -1, 0.2, 1e12, Number.POSITIVE_INFINITY])
    assert.ok(Number.isFinite(after(of(60, ms)).slowFrom(95)));
});

test("tries are begun for a share of requests, and quiet times save up ten at most", () => {
  const pace = new HedgePace();
  let spent = 0;
  for (let i = 0; i < 1_000; i++) {
    pace.earn(5);
    if (!pace.canSpend) continue;
    pace.spend();
    spent++;
  }
  assert.ok(spent <= 50 && spent >= 49, String(spent));
  for (let i = 0; i < 10_000; i++) pace.earn(5);
  let saved = 0;
  for (; pace.canSpend; saved++) pace.spend();
  assert.equal(saved, 10);
});

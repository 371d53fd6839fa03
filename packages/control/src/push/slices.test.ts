import assert from "node:assert/strict";
import { test } from "node:test";
import { inSlices } from "./slices.ts";

/** Work of steps that take a time each. */
const setUp = (stepsMs: readonly number[]) => {
  let nowMs = 0;
  const waiting: (() => void)[] = [];
  const taken: number[] = [];
  const ended: number[] = [];
  const steps = (function* (): Iterable<void> {
    for (const ms of stepsMs) {
      nowMs += ms;
      if (Number.isNaN(ms)) throw new Error("broken");
      taken.push(ms);
      yield;
    }
  })()[Symbol.iterator]();
  const begin = (): void =>
    inSlices(
      {
        clock: { nowMs: () => nowMs },
        setTimer: (run) => {
          waiting.push(run);
          return { [Symbol.dispose]: () => {} };
        },
        steps,
      },
      (busyMs) => void ended.push(busyMs),
    );
  const later = (): void => {
    nowMs += 100;
    waiting.shift()?.();
  };
  return { begin, later, waiting, taken, ended };
};

test("what takes one slice is done at once", () => {
  const { begin, waiting, taken, ended } = setUp([1, 1, 1]);
  begin();
  assert.deepEqual([taken.length, waiting.length], [3, 0]);
  assert.deepEqual(ended, [3]);
});

test("what takes longer goes on after others had their turn, and tells the time that it took itself", () => {
  const { begin, later, waiting, taken, ended } = setUp([5, 5, 5, 20, 1]);
  begin();
  assert.deepEqual([taken, waiting.length, ended.length], [[5, 5], 1, 0]);
  later();
  assert.deepEqual([taken, waiting.length, ended.length], [[5, 5, 5, 20], 1, 0]);
  later();
  assert.deepEqual([taken.length, waiting.length], [5, 0]);
  assert.deepEqual(ended, [36]);
});

test("no work at all is done at once", () => {
  const { begin, ended } = setUp([]);
  begin();
  assert.deepEqual(ended, [0]);
});

test("a step that throws ends the work, and that is told", () => {
  const { begin, later, waiting, taken, ended } = setUp([9, 1, Number.NaN, 1]);
  begin();
  assert.throws(later, /broken/);
  assert.equal(taken.length, 2);
  assert.equal(waiting.length, 0);
  assert.equal(ended.length, 1);
});

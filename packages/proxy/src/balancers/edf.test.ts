import assert from "node:assert/strict";
import { test } from "node:test";
import { createEdf } from "./edf.ts";

const turns = (weights: readonly number[], count: number): readonly number[] => {
  const edf = createEdf(
    weights.length,
    (index) => weights[index] ?? 0,
    () => 0.5,
  );
  const seen = weights.map(() => 0);
  for (let i = 0; i < count; i++) {
    const index = edf.next();
    seen[index] = (seen[index] ?? 0) + 1;
  }
  return seen;
};

test("turns come in proportion to weight", () => {
  assert.deepEqual(turns([1, 2, 5], 80), [10, 20, 50]);
});

test("items that weigh nothing share the turns when nobody weighs more, and get none else", () => {
  assert.deepEqual(turns([0, 0, 0], 30), [10, 10, 10]);
  assert.deepEqual(turns([0, 1], 30), [0, 30]);
});

test("an item that weighed nothing for a while does not stop the others", () => {
  let light = 0;
  const edf = createEdf(
    2,
    (index) => (index === 0 ? light : 1e-12),
    () => 0,
  );
  edf.next();
  light = 4;
  const seen = [0, 0];
  for (let i = 0; i < 20; i++) {
    const index = edf.next();
    seen[index] = (seen[index] ?? 0) + 1;
  }
  assert.ok(
    seen.every((count) => count > 0),
    String(seen),
  );
});

test("there is no turn among nobody", () => {
  assert.equal(turns([], 0).length, 0);
  assert.equal(createEdf(0, () => 1, Math.random).next(), -1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRandom } from "./random.ts";
import { shuffled } from "./shuffled.ts";

test("an order has everything once, whatever chance says, and leaves what was given alone", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat()),
      fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      (list, draws) => {
        const before = [...list];
        const mixed = shuffled(list, () => draws.next().value ?? 0);
        assert.deepEqual([...mixed].sort(), [...list].sort());
        assert.deepEqual(list, before);
      },
    ),
  );
});

test("who comes second differs among those that begin with the same", () => {
  const random = seededRandom(1);
  const orders = Array.from({ length: 600 }, () => shuffled(["a", "b", "c"], random).join(""));
  const counts = new Map(
    Map.groupBy(orders, (order) => order)
      .entries()
      .map(([order, all]) => [order, all.length]),
  );
  assert.equal(counts.size, 6);
  for (const [order, count] of counts) assert.ok(count > 60 && count < 140, `${order} ${count} times of 600`);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { LayeredMap } from "@weft/core/layered-map";
import { createMemo } from "./memo.ts";

test("a memo makes again only for other inputs, and keeps the old object when the result is equal", () => {
  const memo = createMemo();
  const [a, b] = [{}, {}];
  let made = 0;
  const of = (input: object, value: object) =>
    memo.of("name", [input], () => {
      made++;
      return value;
    });
  const first = of(a, { n: [1] });
  assert.equal(of(a, { n: [2] }), first, "same input: not made");
  assert.equal(of(b, { n: [1] }), first, "equal result: the old object");
  assert.deepEqual([of(a, { n: [2] }), made], [{ n: [2] }, 3]);
});

test("what was not asked for between two sweeps is forgotten; what was is kept", () => {
  const memo = createMemo();
  const input = {};
  const kept = memo.of("kept", [input], () => ({}));
  const gone = memo.of("gone", [input], () => ({ n: 1 }));
  memo.sweep();
  assert.equal(
    memo.of("kept", [input], () => ({})),
    kept,
  );
  memo.sweep();
  assert.equal(
    memo.of("kept", [input], () => ({ other: 1 })),
    kept,
  );
  assert.notEqual(
    memo.of("gone", [input], () => ({ n: 1 })),
    gone,
  );
});

test("a layered map reads as one map", () => {
  const layers = [
    new Map([["a", 1]]),
    new Map<string, number>(),
    new Map([
      ["b", 2],
      ["c", 3],
    ]),
  ];
  const map = LayeredMap.of(...layers);
  assert.deepEqual(
    [map.size, map.get("a"), map.get("c"), map.get("x"), map.has("b"), map.has("x")],
    [3, 1, 3, undefined, true, false],
  );
  assert.deepEqual(
    [...map],
    [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ],
  );
  assert.deepEqual([[...map.keys()].join(), [...map.values()].join(), new Map(map).size], ["a,b,c", "1,2,3", 3]);
  const seen: unknown[] = [];
  map.forEach((value, key, whole) => void seen.push([key, value, whole === map]));
  assert.deepEqual(seen.at(-1), ["c", 3, true]);
  assert.equal(LayeredMap.of(layers[0] ?? new Map(), new Map()), layers[0], "one layer is itself");
});

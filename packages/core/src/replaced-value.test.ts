import assert from "node:assert/strict";
import { test } from "node:test";
import { ReplacedValue } from "./replaced-value.ts";

const base: ReadonlyMap<string, number> = new Map([
  ["a", 1],
  ["b", 2],
]);

test("a map with one value replaced reads as a copy with that value would", () => {
  const replaced = ReplacedValue.of(base, "b", 3);
  const copy = new Map(base).set("b", 3);
  assert.deepEqual(new Map(replaced), copy);
  assert.deepEqual([...replaced.keys()], [...copy.keys()]);
  assert.deepEqual([...replaced.values()], [...copy.values()]);
  assert.deepEqual([replaced.size, replaced.get("a"), replaced.get("c")], [2, 1, undefined]);
  assert.deepEqual([replaced.has("b"), replaced.has("c")], [true, false]);
  const seen: [string, number][] = [];
  replaced.forEach((value, name) => void seen.push([name, value]));
  assert.deepEqual(seen, [...copy]);
  assert.equal(base.get("b"), 2);
});

test("a value is replaced again and again, of one name and of others", () => {
  let map: ReadonlyMap<string, number> = base;
  for (let value = 0; value < 100_000; value++) map = ReplacedValue.of(map, "b", value);
  assert.equal(map.get("b"), 99_999);
  assert.deepEqual(new Map(ReplacedValue.of(map, "a", 7)), new Map([["a", 7] as const, ["b", 99_999] as const]));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sameValue } from "./equal.ts";

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(0, 1, "", "a", true, null, undefined),
    fc.array(tie("value"), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom("a", "b"), tie("value"), { maxKeys: 2 }),
  ),
})).value;

const written = (value: unknown): string =>
  JSON.stringify(value, (_, v) =>
    v === undefined
      ? undefined
      : v && typeof v === "object" && !Array.isArray(v)
        ? Object.fromEntries(
            Object.entries(v)
              .filter(([, m]) => m !== undefined)
              .sort(([a], [b]) => (a < b ? -1 : 1)),
          )
        : Array.isArray(v)
          ? v.map((m) => (m === undefined ? "undefined!" : m))
          : v,
  ) ?? "undefined";

test("two values are the same exactly when their canonical writings are, in both directions", () => {
  fc.assert(
    fc.property(plain, plain, (a, b) => {
      assert.equal(sameValue(a, b), written(a) === written(b));
      assert.equal(sameValue(b, a), sameValue(a, b));
      assert.ok(sameValue(a, structuredClone(a)));
    }),
  );
});

test("an array, a map, a set and a record are never the same", () => {
  const empties = [[], {}, new Map(), new Set()];
  for (const [i, a] of empties.entries())
    for (const [j, b] of empties.entries()) assert.equal(sameValue(a, b), i === j);
});

test("maps and sets compare by content", () => {
  assert.ok(sameValue(new Map([["a", [1]]]), new Map([["a", [1]]])));
  assert.ok(!sameValue(new Map([["a", 1]]), new Map([["b", 1]])));
  assert.ok(!sameValue(new Map([["a", undefined]]), new Map([["b", undefined]])));
  assert.ok(!sameValue(new Set([1]), new Set([2])));
});

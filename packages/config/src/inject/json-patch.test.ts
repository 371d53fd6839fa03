import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type JsonPatchStep, jsonPatch } from "./json-patch.ts";

/** Applies steps as RFC 6902 says; throws where a step does not fit. */
const apply = (value: unknown, steps: readonly JsonPatchStep[]): unknown => {
  const root = { "": structuredClone(value) };
  for (const step of steps) {
    const keys = `${step.path}`.split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    const at = keys.reduce<unknown>((within, key) => (within as Record<string, unknown>)[key], root);
    if (Array.isArray(at)) {
      const index = Number(last);
      assert.ok(Number.isInteger(index) && index >= 0 && index <= at.length, step.path);
      if (step.op === "remove") at.splice(index, 1);
      else at.splice(index, step.op === "replace" ? 1 : 0, structuredClone(step.value));
      continue;
    }
    const fields = at as Record<string, unknown>;
    assert.equal(Object.hasOwn(fields, last), step.op !== "add", step.path);
    if (step.op === "remove") delete fields[last];
    else fields[last] = structuredClone(step.value);
  }
  return root[""];
};

test("the steps turn any value into any other", () => {
  const key = fc.constantFrom("a", "b/c", "d~e", "0");
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, 1, "x", "y"),
      fc.array(tie("value"), { maxLength: 5 }),
      fc.dictionary(key, tie("value"), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(value, value, (before, after) => {
      assert.deepEqual(apply(before, jsonPatch(before, after)), JSON.parse(JSON.stringify(after)));
    }),
    { numRuns: 2_000 },
  );
});

test("what is the same is not touched, and one thing added is one step", () => {
  assert.deepEqual(jsonPatch({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }), []);
  assert.deepEqual(jsonPatch({ a: [1, 3] }, { a: [1, 2, 3] }), [{ op: "add", path: "/a/1", value: 2 }]);
  assert.deepEqual(jsonPatch({ a: 1 }, { a: 1, b: undefined }), []);
});

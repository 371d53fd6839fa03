import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseKept, printKept } from "./kept-objects.ts";

const objects = new Map([["Service", [{ metadata: { name: "a", namespace: "n" }, spec: { ports: [] } }]]]);

test("what was written is read, with its age", () => {
  assert.deepEqual(parseKept(printKept("c", objects, 1_000), "c", 61_000), { kind: "read", ageMs: 60_000, objects });
});

test("a clock that was set back makes no view younger than now", () => {
  const found = parseKept(printKept("c", objects, 1_000), "c", 0);
  assert.equal(found.kind === "read" && found.ageMs, 0);
});

test("the view of another cluster is not used", () => {
  assert.equal(parseKept(printKept("c", objects, 0), "d", 0).kind, "other");
});

test("a file that is cut or changed anywhere is not used at all", () => {
  const text = printKept("c", objects, 0);
  fc.assert(
    fc.property(fc.nat(text.length - 2), fc.constantFrom("cut", "flip"), (at, how) => {
      const flipped = text.slice(0, at) + (text[at] === "x" ? "y" : "x") + text.slice(at + 1);
      assert.equal(parseKept(how === "cut" ? text.slice(0, at) : flipped, "c", 0).kind, "corrupt");
    }),
  );
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { leafName, leavesOf, withLeaf, withoutLeaf } from "./leaves.ts";
import { bool, int, list, mapOf, object, required, text } from "./schema.ts";

const schema = object(
  "Root.",
  {
    a: text("A."),
    b: object("B.", { name: required(text("Name.")), on: bool("On.") }),
    items: list(object("Item.", { id: required(int("Id.")), tags: mapOf(text("Tag."), "Tags.") }), "Items."),
    empty: object("Empty.", {}),
    names: list(text("Name."), "Names."),
  },
  { oneOf: [["a", "b"]] },
);
const sampleOf = ({ kind }: { readonly kind: string }) => (kind === "int" ? 1 : "s");
const write = (value: unknown, path: readonly string[], leaf: unknown) =>
  withLeaf(schema, value, { path, value: leaf }, sampleOf);

test("leaves are the fields that hold values, by their names", () => {
  assert.deepEqual(
    leavesOf(schema).map(({ path }) => leafName(path)),
    ["a", "b.name", "b.on", "items[].id", "items[].tags.*", "empty", "names[]"],
  );
});

test("a leaf is written with what must stand around it, and rivals go", () => {
  assert.deepEqual(write({ a: "x" }, ["b", "on"], true), { b: { name: "s", on: true } });
  assert.deepEqual(write({}, ["items", "[]", "tags", "*"], "t"), { items: [{ id: 1, tags: { s: "t" } }] });
  assert.deepEqual(write({ names: ["p", "q"] }, ["names", "[]"], "r"), { names: ["r", "q"] });
  assert.deepEqual(write({ items: [{ id: 3, tags: { k: "v" } }] }, ["items", "[]", "tags", "*"], "w"), {
    items: [{ id: 3, tags: { k: "w" } }],
  });
});

test("a leaf is taken out, with the list or map it fills", () => {
  assert.deepEqual(withoutLeaf({ b: { name: "s", on: true } }, ["b", "on"]), { b: { name: "s" } });
  assert.deepEqual(withoutLeaf({ names: ["p"] }, ["names", "[]"]), {});
  assert.deepEqual(withoutLeaf({ items: [{ id: 1, tags: { k: "v" } }] }, ["items", "[]", "tags", "*"]), {
    items: [{ id: 1 }],
  });
  assert.deepEqual(withoutLeaf({}, ["b", "on"]), {});
});

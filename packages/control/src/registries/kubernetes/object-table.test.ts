import assert from "node:assert/strict";
import { test } from "node:test";
import { createObjectTable, holdMs, objectKey } from "./object-table.ts";

const object = (name: string, data = "") => ({ metadata: { name, namespace: "n", uid: name }, data });
const names = (table: ReturnType<typeof createObjectTable>): string =>
  [...table.entries()].map(([key, { held }]) => `${key.slice(2)}${held ? "?" : ""}`).join(" ");

test("what an event deletes is gone at once, what a list lacks is held for its time", () => {
  const table = createObjectTable("all");
  table.listed([object("a"), object("b"), object("c")], false, 0);
  table.removed(objectKey(object("a")));
  assert.equal(names(table), "b c");
  table.listed([object("c")], false, 1_000);
  assert.equal(names(table), "b? c");
  assert.equal(table.deadlineMs(1_000), 1_000 + holdMs);
  table.tick(holdMs);
  assert.equal(names(table), "b? c");
  table.tick(1_000 + holdMs);
  assert.equal(names(table), "c");
});

test("what is held comes back with the next list or event, and goes with the next deletion", () => {
  const table = createObjectTable("all");
  table.listed([object("a"), object("b"), object("c")], false, 0);
  table.listed([], false, 0);
  assert.equal(names(table), "a? b? c?");
  table.put(object("a"));
  table.removed(objectKey(object("b")));
  assert.equal(names(table), "a c?");
  table.listed([object("a"), object("c")], false, 5);
  assert.equal(names(table), "a c");
});

test("the time of what is held stands still while the server is not heard", () => {
  const table = createObjectTable("all");
  table.listed([object("a"), object("b")], false, 0);
  table.listed([object("b")], false, 0);
  table.heard(false, 1_000);
  assert.equal(table.deadlineMs(1_000), undefined);
  table.tick(10 * holdMs);
  assert.equal(names(table), "a? b");
  table.heard(true, 10 * holdMs);
  table.tick(11 * holdMs - 1_001);
  assert.equal(names(table), "a? b");
  table.tick(11 * holdMs - 1_000);
  assert.equal(names(table), "b");
});

test("configuration that a list lacks is gone, unless the list is not to be trusted", () => {
  const many = ["a", "b", "c", "d", "e"].map((name) => object(name));
  for (const [left, older, wanted] of [
    [many.slice(1), false, "b c d e"],
    [many.slice(1), true, "a? b c d e"],
    [many.slice(3), false, "a? b? c? d e"],
    [[], false, "a? b? c? d? e?"],
  ] as const) {
    const table = createObjectTable("distrusted");
    table.listed(many, false, 0);
    table.listed(left, older, 0);
    assert.equal(names(table), wanted);
  }
});

test("a list that says what was known changes nothing, and another form of it is told with the one before", () => {
  const table = createObjectTable("all");
  table.listed([object("a"), object("b")], false, 0);
  table.takeChanges();
  table.listed([object("a"), object("b", "new")], false, 0);
  assert.deepEqual([...table.takeChanges()], [["n/b", { listedOver: object("b") }]]);
});

test("more than the bound is counted, and takes the place of nothing that is known", () => {
  const table = createObjectTable("all", 3);
  table.listed([object("c"), object("d")], false, 0);
  table.listed(
    ["a", "b", "c", "d"].map((name) => object(name)),
    false,
    0,
    2,
  );
  assert.deepEqual([names(table), table.leftOut()], ["c d a", 3]);
  table.put(object("e"));
  table.put(object("e", "again"));
  assert.deepEqual([names(table), table.leftOut()], ["c d a", 3]);
  // What the list lacks is held and makes room.
  table.listed(
    ["a", "b", "d"].map((name) => object(name)),
    false,
    0,
  );
  assert.deepEqual([names(table), table.leftOut()], ["c? d a b", 0]);
  table.put(object("f"));
  table.put(object("g"));
  assert.equal(table.leftOut(), 2);
  table.removed(objectKey(object("f")));
  table.removed(objectKey(object("a")));
  table.put(object("g"));
  assert.deepEqual([names(table), table.leftOut()], ["c? d b g", 0]);
});

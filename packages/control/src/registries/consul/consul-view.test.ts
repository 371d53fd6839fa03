import assert from "node:assert/strict";
import { test } from "node:test";
import { createConsulView } from "./consul-view.ts";

const answer = (index: number, body: unknown) => ({ index, filtered: false, body });
const entry = (id: string) => ({
  Node: { Node: "n", Address: "10.0.0.1" },
  Service: { ID: id, Port: 80 },
  Checks: [],
});
const view = () => {
  const made = createConsulView({ toNamespace: "default", tags: [], passingOnly: false });
  made.begin();
  made.catalogue(answer(10, { a: [], b: [] }));
  made.service("a", answer(10, [entry("a1")]), false);
  made.service("b", answer(12, [entry("b1")]), false);
  made.list();
  return made;
};
const gone = [{ kind: "removed", key: "b/n/b1", because: "deleted" }];

test("a service that the catalogue lacks is gone, unless its own answer may be the newer one: then it is read again", () => {
  const older = view().catalogue(answer(11, { a: [] }));
  assert.deepEqual([older.events, older.gone, older.doubtful], [[], [], ["b"]]);
  const newer = view().catalogue(answer(12, { a: [] }));
  assert.deepEqual([newer.events, newer.gone, newer.doubtful], [gone, ["b"], []]);
});

test("a doubtful service that has no instance when it is read is gone", () => {
  const made = view();
  made.catalogue(answer(11, { a: [] }));
  assert.deepEqual(made.service("b", answer(11, []), false).events, gone);
});

test("an answer that goes back, or is none, is refused", () => {
  const made = view();
  assert.throws(() => made.catalogue(answer(9, {})), /went back, 10 to 9/);
  assert.throws(() => made.service("b", answer(11, []), true), /went back, 12 to 11/);
  for (const body of [null, 3, "x", []]) assert.throws(() => made.catalogue(answer(20, body)), /no object/);
  for (const body of [null, 3, "x", {}]) assert.throws(() => made.service("a", answer(20, body), true), /no list/);
});

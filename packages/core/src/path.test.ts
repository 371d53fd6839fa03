import assert from "node:assert/strict";
import { test } from "node:test";
import { joinPath } from "./path.ts";

test("parts are joined with one slash", () => {
  assert.equal(joinPath("/a/", "b", "", "c.yaml"), "/a/b/c.yaml");
  assert.equal(joinPath("a"), "a");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { editDistance, nearest } from "./nearest.ts";

test("the nearest word is the one a person most likely meant", () => {
  const known = ["hosts", "gateways", "http", "tls", "tcp", "exportTo", "consecutive5xxErrors"];
  assert.equal(nearest("host", known), "hosts");
  assert.equal(nearest("htpp", known), "http");
  assert.equal(nearest("export_to", known), "exportTo");
  assert.equal(nearest("Gateway", known), "gateways");
  assert.equal(nearest("consecutive5xxError", known), "consecutive5xxErrors");
});

test("nothing is offered for a word that is near to none", () => {
  assert.equal(nearest("rules", ["hosts", "gateways"]), undefined);
  assert.equal(nearest("x", ["tls"]), undefined);
  assert.equal(nearest("anything", []), undefined);
});

test("swapped neighbours count once", () => {
  assert.equal(editDistance("ab", "ba"), 1);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
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

/** By its definition, letter by letter from the ends. */
const distanceByDefinition = (a: string, b: string): number => {
  if (a === "" || b === "") return a.length + b.length;
  const [shortA, shortB] = [a.slice(0, -1), b.slice(0, -1)];
  const same = a.at(-1) === b.at(-1);
  const ways = [
    distanceByDefinition(shortA, b) + 1,
    distanceByDefinition(a, shortB) + 1,
    distanceByDefinition(shortA, shortB) + (same ? 0 : 1),
  ];
  if (a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1))
    ways.push(distanceByDefinition(a.slice(0, -2), b.slice(0, -2)) + 1);
  return Math.min(...ways);
};

test("the distance is that of its definition", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 });
  fc.assert(fc.property(word, word, (a, b) => assert.equal(editDistance(a, b), distanceByDefinition(a, b))));
});

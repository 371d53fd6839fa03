import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { otherCodes } from "@weft/cli/codes";
import { listCodes } from "@weft/config/analyze/explain";
import { nodeMetadata, printReference, referencePath } from "./print-reference.ts";
import { pathMeanings, servedPaths } from "./reference-api.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const sources = ["packages/*/src/**/*.ts", "scripts/*.ts", "scripts/with-node", "e2e/**/*.ts", "bench/**/*.ts"]
  .flatMap((pattern) => globSync(pattern, { cwd: root }))
  .filter((path) => !/\.test\.ts$|\/gen\/|\/node_modules\/|packages\/cli\/src\/codes\.ts$/.test(path));
const usedCodes = new Set(sources.flatMap((path) => read(path).match(/\bWF\d{4}\b/g) ?? []));
const knownCodes = [...listCodes(), ...otherCodes].map(({ code }) => code);

test("docs/reference.md is what the code prints; `npm run docs` prints it anew", () => {
  assert.equal(readFileSync(referencePath, "utf8"), printReference());
});

test("every code that the sources use is explained", () => {
  const known = new Set(knownCodes);
  assert.deepEqual([...usedCodes].filter((code) => !known.has(code)).sort(), []);
});

test("every code that is explained is used, once in the tables, and says what to do", () => {
  assert.deepEqual(
    knownCodes.filter((code) => !usedCodes.has(code)),
    [],
  );
  assert.equal(new Set(knownCodes).size, knownCodes.length);
  for (const { code, title, explain } of otherCodes) {
    assert.match(code, /^WF\d{4}$/);
    assert.ok(title !== "" && explain !== "", code);
  }
  const codes = otherCodes.map(({ code }) => code);
  assert.deepEqual(codes, codes.toSorted());
});

test("every path of the HTTP API has a meaning, and every meaning a path", () => {
  assert.deepEqual(servedPaths.toSorted(), [...pathMeanings.keys()].sort());
});

test("node metadata in the reference is what the control plane reads", () => {
  const facts = read("packages/control/src/generate/proxy-facts.ts");
  const readNames = [...facts.matchAll(/\bmetadata\.([A-Z_]+)/g)].map(([, name = ""]) => name);
  assert.deepEqual([...new Set(readNames)].sort(), nodeMetadata.map(([name]) => name).sort());
});

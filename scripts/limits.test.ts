import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { limitsPath, printLimits } from "./print-limits.ts";

test("docs/limits.md is what the code prints; `npm run docs` prints it anew", () => {
  assert.equal(readFileSync(limitsPath, "utf8"), printLimits());
});

test("no bound is left without a value", () => {
  assert.doesNotMatch(printLimits(), /undefined|NaN|null/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { explainOther, otherCodes } from "./codes.ts";

test("a code is explained in any case, with what to do", () => {
  assert.match(explainOther(" wf8401\n") ?? "", /^## WF8401 the admin token is missing or wrong\n\nSend Authorization/);
});

test("what is no code, or one of configuration, is not explained here", () => {
  for (const text of ["", "WF", "WF0000", "WF1101", "IST0101", "constructor"])
    assert.equal(explainOther(text), undefined);
});

test("each entry was read whole: one title, one explanation that ends as a sentence", () => {
  for (const { code, title, explain } of otherCodes) {
    assert.doesNotMatch(title, /\n|\.$|^WF/, code);
    assert.match(explain, /[.…]$/, code);
    assert.doesNotMatch(explain, /WF\d{4} [a-z]/, code);
  }
});

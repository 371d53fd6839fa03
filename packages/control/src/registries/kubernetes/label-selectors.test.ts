import assert from "node:assert/strict";
import { test } from "node:test";
import { type LabelSelector, selectsLabels } from "./label-selectors.ts";

const labels = { app: "web", tier: "", mesh: "on" };

test("a selector selects where everything it says holds, as in Kubernetes", () => {
  const cases: readonly (readonly [LabelSelector, boolean])[] = [
    [{}, true],
    [{ matchLabels: { app: "web", mesh: "on" } }, true],
    [{ matchLabels: { app: "web", mesh: "off" } }, false],
    [{ matchLabels: { tier: "" } }, true],
    [{ matchLabels: { none: "" } }, false],
    [{ matchExpressions: [{ key: "app", operator: "In", values: ["api", "web"] }] }, true],
    [{ matchExpressions: [{ key: "none", operator: "In", values: ["api"] }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false],
    [{ matchExpressions: [{ key: "none", operator: "NotIn", values: ["web"] }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] }, false],
    [{ matchLabels: { app: "web" }, matchExpressions: [{ key: "mesh", operator: "DoesNotExist" }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "Near" }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "In" }] }, false],
  ];
  for (const [selector, wanted] of cases)
    assert.equal(selectsLabels(selector, labels), wanted, JSON.stringify(selector));
});

test("names that every object has are no labels", () => {
  assert.equal(selectsLabels({ matchExpressions: [{ key: "constructor", operator: "Exists" }] }, labels), false);
});

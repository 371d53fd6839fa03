import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { formatLastGood, parseLastGood } from "./persistence.ts";
import { createResourceStore } from "./resource-store.ts";

const makeStore = () => {
  const store = createResourceStore({
    dataPlane: { apply: () => [], check: () => undefined },
    clock: { nowMs: () => 0, wallMs: () => 0 },
    log: silentLogger,
  });
  store.offer("static", "cluster", [{ name: "mine", version: "", json: { name: "mine", type: "STATIC" } }]);
  store.offer("ads", "cluster", [{ name: "c", version: "v1", json: { name: "c", type: "STATIC" } }]);
  store.offer("ads", "listener", [{ name: "l", version: "v2", json: { name: "l" } }]);
  return store;
};

test("what one source gave comes back with names and versions", () => {
  const text = formatLastGood(makeStore(), "ads", "node-1");
  const saved = parseLastGood(text, "node-1", assert.fail);
  assert.deepEqual(
    saved?.resources.flatMap(({ of, offers }) => offers.map(({ name, version }) => `${of} ${name} ${version}`)),
    ["cluster c v1", "listener l v2"],
  );
});

test("text that was changed, cut off, of another proxy or of another format is not used", () => {
  const text = formatLastGood(makeStore(), "ads", "node-1");
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [text.replace('"v1"', '"v9"'), "node-1", /damaged/],
    [text.slice(0, -5), "node-1", /damaged/],
    [text, "node-2", /belongs to node-1/],
    [text.replace("weft-last-good-1", "weft-last-good-0"), "node-1", /another format/],
    ["", "node-1", /damaged/],
    ["{}\n[]", "node-1", /another format/],
  ];
  for (const [content, node, why] of cases) {
    const told: string[] = [];
    assert.equal(
      parseLastGood(content, node, (reason) => told.push(reason)),
      undefined,
    );
    assert.match(told.join(), why);
  }
});

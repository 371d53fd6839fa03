import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { readFormer } from "./former-last-good.ts";

const print = (resources: unknown): string => {
  const content = JSON.stringify(resources);
  const sha256 = createHash("sha256").update(content).digest("hex");
  return `${JSON.stringify({ format: "weft-last-good-1", node: "node-1", sha256 })}\n${content}`;
};
const text = print([
  ["cluster", [{ name: "c", version: "v1", json: { name: "c" } }]],
  ["unknown", []],
]);
const readText = (read: () => string | undefined, node = "node-1") => {
  const told: string[] = [];
  const saved = readFormer({ read, remove: assert.fail }, node, {
    warn: (_, fields) => told.push(String(fields?.why)),
  });
  return { saved, told };
};

test("what an older sidecar kept is read", () => {
  const { saved, told } = readText(() => text);
  assert.deepEqual(saved, new Map([["cluster", [{ name: "c", version: "v1", json: { name: "c" } }]]]));
  assert.deepEqual(told, []);
  assert.deepEqual(
    readText(() => undefined),
    { saved: undefined, told: [] },
  );
  assert.equal(readFormer(undefined, "node-1", { warn: assert.fail }), undefined);
});

test("text that was changed, cut off, of another proxy or of another format is not used, nor what cannot be read", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [text.replace('"v1"', '"v9"'), "node-1", /damaged/],
    [text.slice(0, -5), "node-1", /damaged/],
    [text, "node-2", /belongs to node-1/],
    [text.replace("weft-last-good-1", "weft-last-good-0"), "node-1", /another format/],
    ["", "node-1", /damaged/],
    ["{}\n[]", "node-1", /another format/],
  ];
  for (const [content, node, why] of cases) {
    const { saved, told } = readText(() => content, node);
    assert.equal(saved, undefined);
    assert.match(told.join(), why);
  }
  const unreadable = (): never => {
    throw new Error("EACCES: permission denied");
  };
  assert.match(readText(unreadable).told.join(), /EACCES/);
});

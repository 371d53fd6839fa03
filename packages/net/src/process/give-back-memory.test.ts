import assert from "node:assert/strict";
import { test } from "node:test";
import { giveBackMemory } from "./give-back-memory.ts";

const megabytes = 1024 * 1024;

test("garbage is given back, what is in use stays, and the program gets no gc of its own", () => {
  const kept = Array.from({ length: 1000 }, (_, i) => ({ i }));
  let garbage: object[] | undefined = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `${i}` }));
  assert.equal(garbage.length, 200_000);
  const before = process.memoryUsage().heapUsed;
  garbage = undefined;
  giveBackMemory();
  assert.ok(process.memoryUsage().heapUsed < before - 5 * megabytes);
  assert.equal(kept[999]?.i, 999);
  assert.equal("gc" in globalThis, false);
});

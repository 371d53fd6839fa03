import assert from "node:assert/strict";
import { test } from "node:test";
import { createContentMemory } from "./content-memory.ts";
import type { SnapshotEntry } from "./snapshot.ts";

const entry = (name: string, size: number): SnapshotEntry => ({
  ...{ typeUrl: "t", name, version: "1", json: {}, endpointsName: undefined },
  bytes: new Uint8Array(size),
});

test("what is remembered is made once, and what is asked for again stays while others go", () => {
  const memory = createContentMemory(100);
  const made: string[] = [];
  const ask = (name: string): SnapshotEntry =>
    memory(name, () => {
      made.push(name);
      return entry(name, 40);
    });
  const first = ask("a");
  assert.equal(ask("a"), first);
  for (const name of ["b", "c", "a", "d", "e", "a", "f", "g"]) ask(name);
  assert.equal(ask("a"), first);
  assert.deepEqual(made, ["a", "b", "c", "d", "e", "f", "g"]);
  ask("b");
  assert.equal(made.at(-1), "b");
});

test("what is very large does not drive out what is asked for, and is one while somebody has it", () => {
  const memory = createContentMemory(100);
  const small = memory("small", () => entry("small", 10));
  const large = memory("large", () => entry("large", 300_000));
  assert.equal(
    memory("large", () => entry("large", 300_000)),
    large,
  );
  assert.equal(
    memory("small", () => entry("small", 10)),
    small,
  );
});

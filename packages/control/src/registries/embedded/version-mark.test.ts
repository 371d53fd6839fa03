import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { eventually } from "@weft/testkit/eventually";
import { createEmbeddedRegistry } from "./registry.ts";
import { memoryStore } from "./store.ts";
import { markAfterMs, openVersionMark } from "./version-mark.ts";

const clock = { nowMs: () => 0, wallMs: () => 0 };
const body = { address: "10.0.0.1", port: 80 };
const ref = (id: string) => ({ namespace: "default", service: "a", id });

const open = (path: string, entries: Map<string, string>) => {
  const registry = createEmbeddedRegistry({ store: memoryStore(entries), clock });
  const errors: string[] = [];
  const timers: { readonly callback: () => void; readonly delayMs: number }[] = [];
  const mark = openVersionMark({
    ...{ path, registry, log: { ...silentLogger, error: (message: string) => void errors.push(message) } },
    setTimer: (callback, delayMs) => {
      timers.push({ callback, delayMs });
      return { [Symbol.dispose]: () => void timers.splice(0) };
    },
  });
  return { registry, errors, timers, mark };
};

test("a database that lacks changes it had is told of, one that has more is not", async () => {
  using folder = makePrivateFolder("weft-mark-");
  const path = join(folder.path, "registry-version");
  const entries = new Map<string, string>();
  const first = open(path, entries);
  first.registry.put(ref("one"), body);
  const older = new Map(entries);
  first.registry.put(ref("two"), body);
  assert.deepEqual(
    first.timers.map(({ delayMs }) => delayMs),
    [markAfterMs],
  );
  first.timers[0]?.callback();
  await eventually("the mark is written", () => readFileSync(path, "utf8") === "2\n" || undefined);
  assert.deepEqual(open(path, entries).errors, []);
  assert.match(open(path, older).errors[0] ?? "", /^WF2262 .*gone back/);
  assert.match(open(path, new Map()).errors[0] ?? "", /^WF2262/);
});

test("what was not marked yet is marked at the end, and a mark that is damaged or cannot be written is none", () => {
  using folder = makePrivateFolder("weft-mark-");
  const path = join(folder.path, "registry-version");
  const first = open(path, new Map());
  first.registry.put(ref("one"), body);
  first.mark[Symbol.dispose]();
  assert.equal(readFileSync(path, "utf8"), "1\n");
  for (const text of ["", "x", "-3", "99999999999999999999"]) {
    writeFileSync(path, text);
    assert.deepEqual(open(path, new Map()).errors, []);
  }
  const folderInPlace = join(folder.path, "is-a-folder");
  mkdirSync(join(folderInPlace, "x"), { recursive: true });
  const blocked = open(folderInPlace, new Map());
  blocked.registry.put(ref("one"), body);
  blocked.mark[Symbol.dispose]();
  assert.deepEqual(blocked.errors, []);
});

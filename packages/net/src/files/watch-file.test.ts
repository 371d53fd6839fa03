import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { watchFile } from "./watch-file.ts";

const folder = (): Disposable & { readonly path: string } => {
  const path = mkdtempSync(join(tmpdir(), "weft-watch-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};
/** Resolves with each text in turn. */
const collect = () => {
  const texts: string[] = [];
  let wake = (): void => undefined;
  return {
    push: (text: string) => {
      texts.push(text);
      wake();
    },
    next: async (): Promise<string> => {
      if (texts.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return texts.shift() ?? "";
    },
  };
};

test("a file is read at once, after a write and after another is renamed over it", async () => {
  using temporary = folder();
  const path = join(temporary.path, "a.yaml");
  writeFileSync(path, "one");
  const seen = collect();
  using _watch = watchFile(path, seen.push, (error) => assert.fail(String(error)));
  assert.equal(await seen.next(), "one");
  writeFileSync(path, "two");
  assert.equal(await seen.next(), "two");
  writeFileSync(`${path}.new`, "three");
  renameSync(`${path}.new`, path);
  assert.equal(await seen.next(), "three");
});

test("a file that is not there is told once and found when it comes", async () => {
  using temporary = folder();
  const path = join(temporary.path, "late.yaml");
  const seen = collect();
  const errors: unknown[] = [];
  using _watch = watchFile(path, seen.push, (error) => errors.push(error));
  writeFileSync(path, "here");
  assert.equal(await seen.next(), "here");
  assert.equal(errors.length, 1);
});

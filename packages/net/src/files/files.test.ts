import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "../process/private-folder.ts";
import { writeAtomicBeside } from "./files.ts";

test("a file is replaced whole, for its owner only, and nothing else stays in the folder", async () => {
  using folder = makePrivateFolder("weft-files-");
  const path = join(folder.path, "a");
  await writeAtomicBeside(path, "one");
  await Promise.all([writeAtomicBeside(path, "x".repeat(100_000)), writeAtomicBeside(path, "y".repeat(100_000))]);
  assert.match(readFileSync(path, "utf8"), /^(x{100000}|y{100000})$/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder.path), ["a"]);
});

test("where it cannot be written it says so, and leaves no half of it", async () => {
  using folder = makePrivateFolder("weft-files-");
  await assert.rejects(writeAtomicBeside(join(folder.path, "missing/x"), "x"), /ENOENT/);
  await writeAtomicBeside(join(folder.path, "there"), "x");
  await assert.rejects(writeAtomicBeside(join(folder.path, "there/x"), "x"), /ENOTDIR/);
  assert.deepEqual(readdirSync(folder.path), ["there"]);
});

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openGrowingFiles, syncAfterMs } from "./growing-files.ts";

const setup = () => {
  const root = mkdtempSync(join(tmpdir(), "weft-growing-"));
  const folder = join(root, "cache");
  const timers: { readonly run: () => void; readonly ms: number }[] = [];
  const files = openGrowingFiles(folder, (run, ms) => {
    timers.push({ run, ms });
    return { [Symbol.dispose]: () => {} };
  });
  return { root, folder, files, timers, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
};

test("what is written is put on the disk a second later, once for all of it, whatever became of the files", async () => {
  using at = setup();
  const { files, timers, root } = at;
  files.append("a", 0, Buffer.from("one"));
  files.append("a", 3, Buffer.from("two"));
  files.replace("b", Buffer.from("b"));
  assert.deepEqual(
    timers.map(({ ms }) => ms),
    [syncAfterMs],
  );
  files.remove("b");
  timers[0]?.run();
  await files.synced();
  assert.equal(files.read("a")?.toString(), "onetwo");
  files.append("a", 6, Buffer.from("three"));
  assert.equal(timers.length, 2, "the next write is a second later again");
  rmSync(root, { recursive: true });
  mkdirSync(root);
  await files.synced();
});

test("files grow at their ends, and are read whole or in part", () => {
  using at = setup();
  const { files, folder } = at;
  assert.equal(files.read("a"), undefined);
  assert.equal(files.append("a", 0, Buffer.from("one")), true);
  assert.equal(files.append("a", 3, Buffer.from("two")), true);
  assert.equal(files.read("a")?.toString(), "onetwo");
  assert.equal(files.readPart("a", 2, 2).toString(), "et");
  assert.equal(files.readPart("a", 4, 9).toString(), "wo", "as many bytes as there are");
  assert.equal(statSync(join(folder, "a")).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
});

test("a file that is not as long as it was left is not added to", () => {
  using at = setup();
  at.files.append("a", 0, Buffer.from("one"));
  assert.equal(at.files.append("a", 2, Buffer.from("two")), false);
  assert.equal(at.files.append("a", 4, Buffer.from("two")), false);
  assert.equal(at.files.read("a")?.toString(), "one");
});

test("a replaced file is whole, with nothing beside it; a removed one is gone, and may be removed again", () => {
  using at = setup();
  at.files.replace("a", Buffer.from("x".repeat(10)));
  at.files.replace("a", Buffer.from("y"));
  assert.deepEqual([readdirSync(at.folder), readFileSync(join(at.folder, "a"), "utf8")], [["a"], "y"]);
  at.files.remove("a");
  at.files.remove("a");
  assert.equal(at.files.read("a"), undefined);
});

test("what the system refuses is thrown as it says it", () => {
  using at = setup();
  writeFileSync(at.folder, "a file where the folder should be");
  for (const attempt of [
    () => at.files.append("a", 0, Buffer.from("x")),
    () => at.files.replace("a", Buffer.from("x")),
    () => at.files.read("a"),
  ])
    assert.throws(attempt, /ENOTDIR|EEXIST/);
  rmSync(at.folder);
  assert.throws(() => at.files.readPart("none", 0, 1), /ENOENT/);
  mkdirSync(join(at.folder, "a"), { recursive: true });
  assert.throws(() => at.files.read("a"), /EISDIR/);
});

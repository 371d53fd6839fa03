import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { LineFiles } from "./line-files.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-lines-"));
afterEach(() => {
  for (const files of open.splice(0)) files.flush();
});
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const open: LineFiles[] = [];
const create = (): LineFiles => {
  const files = new LineFiles();
  open.push(files);
  return files;
};

/** Looks again at every turn: there is no event for a file's content. */
const until = async (holds: () => boolean): Promise<void> => {
  const deadline = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error("it did not come to pass");
    await new Promise((resolve) => setImmediate(resolve));
  }
};
const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

test("lines arrive whole and in order", async () => {
  const path = join(folder, "order.log");
  const files = create();
  const expected = Array.from({ length: 5000 }, (_, index) => `line ${index} é\n`);
  for (const line of expected) files.write(path, line);
  await until(() => textOf(path) === expected.join(""));
  assert.equal(files.counts.dropped.value, 0);
  assert.equal(files.counts.lines.value, 5000);
});

test("lines of any size arrive whole and in order, also while others are being written", async () => {
  const path = join(folder, "sizes.log");
  const files = create();
  const sizes = [1, 70_000, 3, 27_000, 200_000, 0, 81_919, 81_920, 40_000, 40_000, 40_000, 5];
  const expected = sizes.map((size, index) => `${index} ${"é€😀x".repeat(size / 5)}\n`);
  for (let round = 0; round < 3; round++) {
    for (const line of expected) files.write(path, line);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const all = expected.join("").repeat(3);
  await until(() => textOf(path).length >= all.length);
  assert.equal(textOf(path), all);
  assert.equal(files.counts.dropped.value, 0);
  assert.equal(files.heldBytes, 0);
});

test("a flush writes what waits, and more may follow it", () => {
  const path = join(folder, "flush.log");
  const files = create();
  files.write(path, "a\n");
  files.flush();
  files.write(path, "b\n");
  files.flush();
  assert.equal(textOf(path), "a\nb\n");
});

test("a file that was moved away is left alone after a reopen", async () => {
  const path = join(folder, "moved.log");
  const files = create();
  files.write(path, "before\n");
  await until(() => textOf(path) === "before\n");
  renameSync(path, `${path}.1`);
  files.write(path, "still the old one\n");
  await until(() => textOf(`${path}.1`) === "before\nstill the old one\n");
  files.reopen();
  files.write(path, "after\n");
  await until(() => textOf(path) === "after\n");
  assert.equal(textOf(`${path}.1`), "before\nstill the old one\n");
});

test("lines for a path that cannot be opened are dropped and counted, and tried again later", async () => {
  const path = join(folder, "missing", "x.log");
  const files = create();
  files.write(path, "lost\n");
  await until(() => files.counts.dropped.value === 1);
  files.write(path, "lost too\n");
  await until(() => files.counts.dropped.value === 2);
  assert.equal(files.counts.failedWrites.value, 2);
});

test("a pipe that nobody reads holds nothing up: lines beyond the bound are dropped", async () => {
  const path = join(folder, "pipe");
  assert.equal(spawnSync("mkfifo", [path]).status, 0);
  const files = create();
  const line = `${"x".repeat(1023)}\n`;
  for (let i = 0; i < 10_000; i++) files.write(path, line);
  assert.ok(files.counts.dropped.value > 5000);
  assert.ok(files.heldBytes <= 4 * 1024 * 1024);
  await until(() => files.counts.failedWrites.value > 0);
});

import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "../process/private-folder.ts";
import { listFolder, makeFolder, readIfThere, writeAtomic } from "./files.ts";
import { type FolderWatch, type WatchedFile, watchFolder } from "./watch.ts";

const follow = (folder: string, pollMs = 3_600_000) => {
  const seen: (readonly WatchedFile[])[] = [];
  const failures: string[] = [];
  let wake: (() => void) | undefined;
  const watch: FolderWatch = watchFolder({
    folder,
    endings: ["yaml"],
    pollMs,
    changed: (files) => {
      seen.push(files);
      wake?.();
    },
    failed: (path) => failures.push(path),
  });
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      wake = () => {
        if (seen.length >= count) resolve();
      };
      wake();
    });
  const texts = () => seen.at(-1)?.map(({ text }) => text);
  return { watch, seen, failures, until, texts };
};

test("a folder is read at once, deep and sorted, and its changes are told", async () => {
  using folder = makePrivateFolder("weft-watch-");
  mkdirSync(join(folder.path, "sub"));
  writeFileSync(join(folder.path, "b.yaml"), "b");
  writeFileSync(join(folder.path, "sub/a.yaml"), "a");
  writeFileSync(join(folder.path, "ignored.txt"), "x");
  const { watch, until, texts } = follow(folder.path);
  using _ = watch;
  assert.deepEqual(texts(), ["b", "a"]);
  writeFileSync(join(folder.path, "c.yaml"), "c");
  await until(2);
  assert.deepEqual(texts(), ["b", "c", "a"]);
});

test("a swapped symbolic link, as Kubernetes mounts configuration, is seen", async () => {
  using folder = makePrivateFolder("weft-watch-");
  const inside = (name: string): string => join(folder.path, name);
  for (const version of ["1", "2"]) {
    mkdirSync(inside(`..${version}`));
    writeFileSync(inside(`..${version}/x.yaml`), version);
  }
  symlinkSync("..1", inside("..data"));
  symlinkSync("..data/x.yaml", inside("x.yaml"));
  const { watch, until, texts } = follow(folder.path, 20);
  using _ = watch;
  assert.deepEqual(texts(), ["1"]);
  symlinkSync("..2", inside("..new"));
  renameSync(inside("..new"), inside("..data"));
  await until(2);
  assert.deepEqual(texts(), ["2"]);
});

test("touching a file without changing it tells nothing", () => {
  using folder = makePrivateFolder("weft-watch-");
  writeFileSync(join(folder.path, "a.yaml"), "a");
  const { watch, seen } = follow(folder.path);
  using _ = watch;
  writeFileSync(join(folder.path, "a.yaml"), "a");
  watch.refresh();
  assert.equal(seen.length, 1);
});

test("a folder that goes away keeps its last content, and is followed again when it comes back", async () => {
  using outer = makePrivateFolder("weft-watch-");
  const folder = join(outer.path, "config");
  makeFolder(folder);
  writeFileSync(join(folder, "a.yaml"), "a");
  const { watch, seen, failures, until, texts } = follow(folder, 20);
  using _ = watch;
  rmSync(folder, { recursive: true });
  watch.refresh();
  assert.deepEqual([seen.length === 1 || texts()?.length === 0, failures.includes(folder)], [true, true]);
  makeFolder(folder);
  writeFileSync(join(folder, "a.yaml"), "again");
  await until(2);
  while (texts()?.[0] !== "again") await until(seen.length + 1);
});

test("an atomic write leaves the mode asked for and no temporary file", () => {
  using folder = makePrivateFolder("weft-files-");
  const path = join(folder.path, "secret");
  writeAtomic(path, "one");
  writeAtomic(path, "two");
  assert.deepEqual(
    [readIfThere(path), statSync(path).mode & 0o777, listFolder(folder.path)],
    ["two", 0o600, ["secret"]],
  );
  assert.throws(() => writeAtomic(join(folder.path, "missing/x"), "x"), /ENOENT/);
  assert.equal(readIfThere(join(folder.path, "none")), undefined);
  assert.deepEqual(listFolder(join(folder.path, "none")), []);
});

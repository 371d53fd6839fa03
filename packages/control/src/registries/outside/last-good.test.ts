import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import fc from "fast-check";
import type { Restored } from "./held-instances.ts";
import { parseLastGood, printLastGood } from "./last-good.ts";
import { openLastGoodFile, writeEveryMs, writeSoonMs } from "./last-good-file.ts";
import { testInstance } from "./testing/instance.ts";

const view: Restored = {
  ageMs: 0,
  instances: [
    { instance: testInstance("a", { labels: { é: "\n" } }) },
    { instance: testInstance("b", { protocol: undefined }), held: { reason: "absent", leftMs: 5_000 } },
  ],
};
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("a view is read as it was printed, with its age", () => {
  const read = parseLastGood(printLastGood("etcd:/x", { ...view, ageMs: 500 }, 10_000), "etcd:/x", 12_000);
  assert.deepEqual(plain(read), plain({ kind: "read", restored: { ...view, ageMs: 2_500 } }));
});

test("a clock that was set back makes no view younger than now", () => {
  const read = parseLastGood(printLastGood("r", view, 10_000), "r", 1_000);
  assert.equal(read.kind === "read" && read.restored.ageMs, 0);
});

test("a view of another registry is not taken", () => {
  assert.equal(parseLastGood(printLastGood("etcd:/x", view, 0), "etcd:/y", 0).kind, "other");
});

test("a file that is damaged at any byte, or cut anywhere, is never used", () => {
  const text = printLastGood("r", view, 0);
  fc.assert(
    fc.property(fc.nat({ max: text.length - 3 }), fc.nat({ max: 0xffff }), (at, code) => {
      const damaged = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
      if (damaged !== text) assert.equal(parseLastGood(damaged, "r", 0).kind, "corrupt");
      assert.equal(parseLastGood(text.slice(0, at), "r", 0).kind, "corrupt");
    }),
    { numRuns: 1_000 },
  );
  for (const noise of ["", "\n", "weft-last-good 1 ", "{}"]) assert.equal(parseLastGood(noise, "r", 0).kind, "corrupt");
});

const open = (folder: string) => {
  const timers: { callback: () => void; delayMs: number }[] = [];
  const warnings: string[] = [];
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => clock.now };
  let kept = view;
  const file = openLastGoodFile(
    {
      ...{ folder, name: "etcd", registry: "r", clock },
      setTimer: (callback, delayMs) => {
        const timer = { callback, delayMs };
        timers.push(timer);
        return { [Symbol.dispose]: () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0) };
      },
      log: { ...silentLogger, warn: (message, fields) => warnings.push(`${message} ${fields?.problem}`) },
    },
    () => ({ kept: () => kept, state: () => "lost" as const }),
  );
  const write = (): void => {
    for (const timer of timers.splice(0)) {
      clock.now += timer.delayMs;
      timer.callback();
    }
  };
  const change = (next: Restored): void => {
    kept = next;
    file.changed();
  };
  return { file, timers, warnings, clock, write, change };
};
const path = (folder: string): string => join(folder, "etcd.json");

test("a change is written soon, and many are written seldom", () => {
  using folder = makePrivateFolder("weft-last-good-");
  const { file, timers, write, change, clock } = open(folder.path);
  assert.equal(file.restored, undefined);
  for (let at = 0; at < 5; at++) change(view);
  assert.deepEqual(
    timers.map(({ delayMs }) => delayMs),
    [writeSoonMs],
  );
  write();
  change({ ...view, instances: view.instances.slice(0, 1) });
  assert.deepEqual(
    timers.map(({ delayMs }) => delayMs),
    [writeEveryMs],
  );
  clock.now += 1_000;
  change({ ...view, instances: [] });
  file[Symbol.dispose]();
  assert.equal(timers.length, 0);
  assert.equal(open(folder.path).file.restored?.instances.length, 0);
});

test("a damaged file is reported and ignored, and the next view replaces it", () => {
  using folder = makePrivateFolder("weft-last-good-");
  writeFileSync(path(folder.path), printLastGood("r", view, 0).replace("shop", "ship"));
  const { file, warnings, write, change } = open(folder.path);
  assert.equal(file.restored, undefined);
  assert.match(warnings[0] ?? "", /^WF2115 .*damaged and not used: its checksum/);
  assert.match(file.problem(), /damaged/);
  change(view);
  write();
  assert.equal(file.problem(), "");
  assert.equal(open(folder.path).file.restored?.instances.length, 2);
});

test("a disk that takes nothing is reported once, and tried again", () => {
  using folder = makePrivateFolder("weft-last-good-");
  const inside = join(folder.path, "registries");
  writeFileSync(inside, "a file where the folder should be");
  const { file, warnings, timers, write, change } = open(inside);
  change(view);
  write();
  write();
  assert.equal(timers.length, 1);
  assert.equal(warnings.filter((text) => text.includes("cannot be written")).length, 1);
  assert.match(file.problem(), /cannot be written/);
  file[Symbol.dispose]();
});

test("a file of another registry stays until there is something to write", () => {
  using folder = makePrivateFolder("weft-last-good-");
  const text = printLastGood("another", view, 0);
  writeFileSync(path(folder.path), text);
  const { file, warnings } = open(folder.path);
  file[Symbol.dispose]();
  assert.deepEqual([file.restored, warnings, readFileSync(path(folder.path), "utf8")], [undefined, [], text]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "@weft/core/world";
import fc from "fast-check";
import { createDiskLevel, type DiskLevel, type KeptEntry } from "./disk-level.ts";
import { testCounters } from "./testing/counters.ts";
import { type MemoryFiles, memoryFiles } from "./testing/memory-files.ts";

const entry = (name: string, value: unknown, over: Partial<KeptEntry> = {}): KeptEntry => ({
  ...{ kind: "cluster", name, source: "ads", version: "v", atMs: 0, demanded: false, aliases: [], needs: [] },
  body: Buffer.from(JSON.stringify({ value })),
  ...over,
});

interface Opened {
  readonly disk: DiskLevel;
  readonly log: readonly string[];
  readonly counters: ReturnType<typeof testCounters>["l2"];
}
const open = (
  files: MemoryFiles,
  over: { nodeId?: string; bytesMax?: number; writerId?: string; held?: string[] } = {},
) => {
  const lines: string[] = [];
  const write = (_: string, fields?: object): void => void lines.push(JSON.stringify(fields));
  const log: Logger = { trace: write, debug: write, info: write, warn: write, error: write };
  const { l2: counters } = testCounters();
  const { nodeId = "node", bytesMax = 1e7, writerId = "one", held = [] } = over;
  const isHeld = (key: string): boolean => held.includes(key);
  const disk = createDiskLevel({ files, nodeId, bytesMax, writerId, log, counters, isHeld });
  disk.load();
  return { disk, log: lines, counters } satisfies Opened;
};
const valuesOf = (disk: DiskLevel): Record<string, unknown> =>
  Object.fromEntries(
    [...disk.marks()]
      .map(([key]): [string, unknown] => [key, (disk.read(key) as { value: unknown } | undefined)?.value])
      .sort(),
  );
const entryFiles = (files: MemoryFiles): readonly string[] =>
  [...files.content.keys()].filter((name) => name.startsWith("entries-"));
const flip = (files: MemoryFiles, name: string, at: number, bit = 1): void => {
  const bytes = Buffer.from(files.content.get(name) ?? "");
  bytes[at] = (bytes[at] ?? 0) ^ bit;
  files.content.set(name, bytes);
};

test("what is kept is there after a restart, by its name and its aliases, and what was removed is not", () => {
  const files = memoryFiles();
  const first = open(files);
  first.disk.keep([entry("a", 1), entry("b", 2), entry("t/h", 3, { kind: "virtualHost", aliases: ["t/alias"] })]);
  first.disk.keep([entry("a", 4)]);
  first.disk.remove(["cluster b"], 0);
  const { disk, log } = open(files);
  assert.deepEqual(valuesOf(disk), { "cluster a": 4, "virtualHost t/h": 3 });
  assert.equal(disk.find("virtualHost", "t/alias")?.name, "t/h");
  assert.equal(disk.find("cluster", "t/alias"), undefined);
  assert.deepEqual(log, []);
});

test("a change costs its own bytes, whatever else there is; what is the same costs nothing", () => {
  const files = memoryFiles();
  const { disk } = open(files);
  const all = Array.from({ length: 10_000 }, (_, i) => entry(`outbound|80||service-${i}.default`, "x".repeat(300)));
  disk.keep(all);
  const whole = files.written;
  assert.ok(whole > 4_000_000);
  disk.keep(all);
  assert.equal(files.written, whole);
  for (let i = 0; i < 1_000; i++) disk.keep([entry("outbound|80||service-7.default", i)]);
  const each = (files.written - whole) / 1_000;
  assert.ok(each < 1_500, `${each} bytes for a change of 300`);
  assert.equal(valuesOf(open(files).disk)["cluster outbound|80||service-7.default"], 999);
});

test("a flipped bit anywhere in any file costs one entry at most, which is named and counted, and is written anew", () => {
  const files = memoryFiles();
  const names = Array.from({ length: 40 }, (_, i) => `c${i}`);
  open(files).disk.keep(names.map((name) => entry(name, name)));
  const kept = new Map(files.content);
  fc.assert(
    fc.property(
      fc.constantFrom(...entryFiles(files)),
      fc.nat({ max: 5_000 }),
      fc.nat({ max: 7 }),
      (file, byte, bit) => {
        const damaged = memoryFiles(new Map(kept));
        const at = byte % (kept.get(file)?.length ?? 1);
        flip(damaged, file, at, 1 << bit);
        const { disk, counters, log } = open(damaged);
        const values = valuesOf(disk);
        const missing = names.filter((name) => values[`cluster ${name}`] === undefined);
        assert.ok(missing.length <= 1, missing.join());
        for (const [key, value] of Object.entries(values)) assert.equal(`cluster ${value}`, key);
        const inHeader = at < 40;
        if (missing[0] !== undefined) assert.deepEqual([...disk.damaged()], [`cluster ${missing[0]}`]);
        if (!inHeader) assert.ok(counters.corrupted.value > 0 && log.join().includes("WF3320"));
        disk.keep(missing.map((name) => entry(name, name)));
        assert.equal(disk.damaged().size, 0);
        const healed = open(damaged);
        assert.equal(Object.keys(valuesOf(healed.disk)).length, names.length);
        if (missing.length > 0) assert.deepEqual(healed.log, []);
      },
    ),
    { numRuns: 400 },
  );
});

test("whatever is written, cut off and flipped, what is read was written by that name", () => {
  const command = fc.oneof(
    fc.record({ kind: fc.constant("keep" as const), name: fc.nat({ max: 5 }), value: fc.nat() }),
    fc.record({ kind: fc.constant("remove" as const), name: fc.nat({ max: 5 }) }),
    fc.record({ kind: fc.constant("cut" as const), file: fc.nat(), at: fc.nat({ max: 3_000 }) }),
    fc.record({ kind: fc.constant("flip" as const), file: fc.nat(), at: fc.nat({ max: 3_000 }) }),
    fc.record({ kind: fc.constant("restart" as const) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const files = memoryFiles();
      let { disk } = open(files);
      const once = new Map<string, Set<number>>();
      for (const one of commands) {
        if (one.kind === "keep") {
          disk.keep([entry(`c${one.name}`, one.value)]);
          const key = `cluster c${one.name}`;
          once.set(key, (once.get(key) ?? new Set()).add(one.value));
          assert.deepEqual(disk.read(key), { value: one.value });
        } else if (one.kind === "remove") {
          disk.remove([`cluster c${one.name}`], 0);
          assert.equal(disk.mark(`cluster c${one.name}`), undefined);
        } else if (one.kind === "restart") ({ disk } = open(files));
        else {
          const names = entryFiles(files);
          const name = names[one.file % names.length];
          const bytes = name === undefined ? undefined : files.content.get(name);
          if (name === undefined || !bytes || bytes.length === 0) continue;
          if (one.kind === "cut") files.content.set(name, bytes.subarray(0, one.at % bytes.length));
          else flip(files, name, one.at % bytes.length);
        }
      }
      for (const [key, value] of Object.entries(valuesOf(open(files).disk)))
        assert.ok(once.get(key)?.has(value as number), `${key} ${String(value)}`);
    }),
    { numRuns: 500 },
  );
});

test("what was asked for and not used for longest makes room, with what only it needs; the bound always holds", () => {
  const files = memoryFiles();
  const bytesMax = 64 * 1024;
  const { disk, counters } = open(files, { bytesMax, held: ["cluster d9", "endpoints d9"] });
  disk.keep([entry("base", "x")]);
  for (let i = 0; i < 400; i++) {
    const demanded = { demanded: true, needs: [`endpoints d${i}`], atMs: i };
    disk.keep([
      entry(`d${i}`, "x".repeat(300), demanded),
      entry(`d${i}`, "y".repeat(300), { kind: "endpoints", atMs: i }),
    ]);
    assert.ok(disk.usage().bytes <= bytesMax);
  }
  assert.ok(files.highest - 10 <= bytesMax, `${files.highest}`);
  const kept = [...disk.marks()].map(([key]) => key);
  assert.ok(counters.evicted.value > 0);
  for (const key of ["cluster base", "cluster d9", "endpoints d9", "cluster d399", "endpoints d399"])
    assert.ok(kept.includes(key), key);
  assert.ok(!kept.includes("cluster d0") && !kept.includes("endpoints d0"));
  for (const key of kept)
    if (key.startsWith("cluster d")) assert.ok(kept.includes(key.replace("cluster", "endpoints")), key);
  assert.deepEqual(valuesOf(open(files, { bytesMax }).disk), valuesOf(disk));
});

test("where nothing may go, what comes last is not kept, and is said; smaller ones may still have room", () => {
  const { disk } = open(memoryFiles(), { bytesMax: 8_192 });
  assert.deepEqual(disk.keep([entry("one", "x".repeat(2_000))]), []);
  assert.deepEqual(disk.keep([entry("large", "x".repeat(9_000))]), ["cluster large"]);
  assert.deepEqual(disk.keep([entry("small", "x")]), []);
  assert.deepEqual([...disk.marks()].map(([key]) => key).sort(), ["cluster one", "cluster small"]);
});

test("a full disk throws and leaves what is there; when there is room it is written", () => {
  const files = memoryFiles();
  const { disk } = open(files);
  disk.keep([entry("a", 1)]);
  files.room = 0;
  assert.throws(() => disk.keep([entry("a", 2), entry("b", 2)]), /ENOSPC/);
  assert.deepEqual(valuesOf(open(files).disk), { "cluster a": 1 });
  files.room = 1e6;
  disk.keep([entry("a", 2), entry("b", 2)]);
  assert.deepEqual(valuesOf(open(files).disk), { "cluster a": 2, "cluster b": 2 });
});

test("a file that cannot be read is told and costs its own entries only", () => {
  const files = memoryFiles();
  open(files).disk.keep(Array.from({ length: 100 }, (_, i) => entry(`c${i}`, i)));
  const [bad] = entryFiles(files);
  const inBad = (files.content.get(bad ?? "")?.toString() ?? "").split("\n>").length - 1;
  const { read } = files;
  files.read = (name) => {
    if (name === bad) throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    return read(name);
  };
  const { disk, log, counters } = open(files);
  assert.equal(disk.usage().entries, 100 - inBad);
  assert.match(log.join(), /WF3305.*EIO/);
  assert.equal(counters.errors.value, 1);
});

test("a folder of another proxy is not used, and is told as that", () => {
  const files = memoryFiles();
  open(files, { nodeId: "another" }).disk.keep([entry("a", 1)]);
  const { disk, log } = open(files);
  assert.equal(disk.usage().entries, 0);
  assert.match(log.join(), /WF3305.*they belong to another/);
  disk.keep([entry("a", 2)]);
  assert.deepEqual(valuesOf(open(files).disk), { "cluster a": 2 });
});

test("of two processes the later one writes; the earlier one is told, reads on, and takes over when the later one is gone", () => {
  const files = memoryFiles();
  const first = open(files, { writerId: "first" });
  assert.equal(first.disk.owns(), true);
  first.disk.keep([entry("a", 1)]);
  const second = open(files, { writerId: "second" });
  assert.equal(second.disk.owns(), true);
  second.disk.keep([entry("a", 2), entry("b", 2)]);
  assert.equal(first.disk.owns(), false);
  assert.equal(first.disk.owns(), false);
  assert.equal(first.log.filter((line) => line.includes("WF3322")).length, 1);
  assert.equal(second.disk.owns(), true);
  second.disk.release();
  assert.equal(first.disk.owns(), true);
  first.disk.keep([entry("a", 3)]);
  assert.ok(first.disk.epoch() > 0, "it found that somebody else wrote");
  assert.deepEqual(valuesOf(open(files).disk), { "cluster a": 3, "cluster b": 2 });
});

test("an entry that is damaged after it was read is found when it is asked for, and is given up", () => {
  const files = memoryFiles();
  const { disk, counters, log } = open(files);
  disk.keep([entry("a", 1)]);
  const [name = ""] = entryFiles(files);
  flip(files, name, (files.content.get(name)?.indexOf('{"value"') ?? 0) + 3);
  assert.equal(disk.read("cluster a"), undefined);
  assert.equal(disk.mark("cluster a"), undefined);
  assert.deepEqual([[...disk.damaged()], counters.corrupted.value], [["cluster a"], 1]);
  assert.match(log.join(), /WF3320/);
});

test("the files of a cache that is deleted under it are made anew", () => {
  const files = memoryFiles();
  const { disk } = open(files);
  disk.keep([entry("a", 1)]);
  files.content.clear();
  disk.keep([entry("a", 2)]);
  assert.equal(disk.epoch(), 1);
  assert.deepEqual(valuesOf(open(files).disk), { "cluster a": 2 });
});

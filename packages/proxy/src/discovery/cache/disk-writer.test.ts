import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualTime } from "@weft/core/testing/virtual-time";
import type { Logger } from "@weft/core/world";
import { createDiskLevel } from "./disk-level.ts";
import { createDiskWriter, type HeldEntry } from "./disk-writer.ts";
import { filesReadAtOnce, shardCount, writeRetryMs, writeSliceBytes, writeSoonMs } from "./limits.ts";
import { testCounters } from "./testing/counters.ts";
import { memoryFiles } from "./testing/memory-files.ts";

const setup = (bytesMax = 1e8) => {
  const time = virtualTime();
  const files = memoryFiles();
  const lines: string[] = [];
  const write = (text: string, fields?: object): void => void lines.push(`${text} ${JSON.stringify(fields)}`);
  const log: Logger = { trace: write, debug: write, info: write, warn: write, error: write };
  const { l2: counters } = testCounters();
  const held = new Map<string, HeldEntry>();
  const wanted = new Set<string>();
  const state = { settled: false, written: 0 };
  const disk = createDiskLevel({ files, nodeId: "n", bytesMax, writerId: "w", log, counters, isHeld: () => false });
  const writer = createDiskWriter({
    ...{ disk, log, counters, clock: time.clock, setTimer: time.setTimer },
    held: () => held.values(),
    findGone: () => (kind, name) => !wanted.has(`${kind} ${name}`),
    settled: () => state.settled,
    written: () => void state.written++,
  });
  const put = (name: string, value: unknown, over: Partial<HeldEntry> = {}): void => {
    const own = { kind: "cluster", name, source: "ads", version: "v", json: { value }, demanded: false } as const;
    held.set(name, { ...own, aliases: [], needs: () => [], ...over });
  };
  const kept = (): readonly string[] => [...disk.marks()].map(([key]) => key).sort();
  return { ...time, files, lines, counters, held, wanted, state, disk, writer, put, kept };
};

test("changes are on disk soon, together, and only those that differ", () => {
  const { writer, put, pass, kept, files } = setup();
  put("a", 1);
  put("b", 2);
  writer.changed();
  writer.changed();
  pass(writeSoonMs - 1);
  assert.deepEqual(kept(), []);
  pass(shardCount / filesReadAtOnce + 8);
  assert.deepEqual(kept(), ["cluster a", "cluster b"]);
  const { written } = files;
  put("a", 3);
  writer.changed();
  pass(1_000);
  assert.ok(files.written - written < 400);
});

test("a large mesh is written a slice at a time, and nothing of it twice", () => {
  const { writer, put, pass, disk, files, timers, state } = setup();
  for (let i = 0; i < 2_000; i++) put(`c${i}`, "x".repeat(900));
  writer.changed();
  pass(writeSoonMs + shardCount / filesReadAtOnce);
  const first = disk.usage().bytes;
  assert.ok(first <= 3 * writeSliceBytes && state.written === 0, `${first} bytes in the first slices`);
  pass(1_000);
  assert.deepEqual([disk.usage().entries, state.written, timers.size], [2_000, 1, 0]);
  assert.ok(files.written < 1.1 * disk.usage().bytes);
});

test("what nobody gives or wants any more goes, but not before all has come, nor what was asked for, nor what that needs", () => {
  const { writer, put, pass, kept, held, wanted, state } = setup();
  for (const name of ["gone", "wanted", "kept"]) put(name, 1);
  put("asked", 1, { demanded: true, needs: () => ["cluster pinned"] });
  put("pinned", 1);
  writer.changed();
  pass(1_000);
  for (const name of ["gone", "wanted", "asked", "pinned"]) held.delete(name);
  wanted.add("cluster wanted");
  writer.changed();
  pass(1_000);
  assert.equal(kept().length, 5);
  state.settled = true;
  writer.changed();
  pass(1_000);
  assert.deepEqual(kept(), ["cluster asked", "cluster kept", "cluster pinned", "cluster wanted"]);
  writer.forget("cluster asked");
  pass(1_000);
  assert.deepEqual(kept(), ["cluster kept", "cluster wanted"]);
});

test("a disk that is full is told once and tried again; then it is said that it is written", () => {
  const { writer, put, pass, kept, files, lines, counters } = setup();
  files.room = 0;
  put("a", 1);
  writer.changed();
  pass(writeSoonMs + 3 * writeRetryMs + 100);
  assert.equal(lines.filter((line) => line.includes("WF3304")).length, 1);
  assert.ok(counters.errors.value >= 3);
  files.room = 1e6;
  pass(writeRetryMs);
  assert.deepEqual(kept(), ["cluster a"]);
  assert.match(lines.at(-1) ?? "", /written again.*WF3304/);
});

test("a folder that cannot be written is survived, whatever the system says of it", () => {
  for (const code of ["EROFS", "EACCES", "EIO", "EDQUOT", "ENOTDIR"]) {
    const { writer, put, pass, files, lines } = setup();
    files.failure = Object.assign(new Error(`${code}: no`), { code });
    put("a", 1);
    writer.changed();
    pass(10_000);
    writer.flush();
    assert.equal(lines.filter((line) => line.includes(code)).length, 1);
  }
});

test("what has no room is named once, and counted", () => {
  const { writer, put, pass, lines, counters, kept } = setup(4_096);
  put("large", "x".repeat(5_000));
  put("small", 1);
  writer.changed();
  pass(5_000);
  put("huge", "x".repeat(6_000));
  writer.changed();
  pass(5_000);
  assert.deepEqual(kept(), ["cluster small"]);
  assert.equal(counters.overflow.value, 2);
  assert.equal(lines.filter((line) => line.includes("WF3321") && line.includes("cluster large")).length, 1);
});

test("while another process writes the folder this one does not", () => {
  const { writer, put, pass, files, lines, kept } = setup();
  put("a", 1);
  writer.flush();
  files.replace("owner", Buffer.from("another"));
  put("b", 1);
  writer.changed();
  pass(10_000);
  assert.deepEqual(kept(), ["cluster a"]);
  assert.equal(lines.filter((line) => line.includes("WF3322")).length, 1);
  files.remove("owner");
  writer.changed();
  pass(1_000);
  assert.deepEqual(kept(), ["cluster a", "cluster b"]);
});

test("a full cache is made room in a file at a time: none is written anew twice in a turn, and what is new is kept", () => {
  const { writer, put, pass, kept, files, disk } = setup(2_000_000);
  const { replace } = files;
  let inTurn = 0;
  let most = 0;
  files.replace = (name, bytes) => {
    inTurn++;
    most = Math.max(most, inTurn);
    replace(name, bytes);
  };
  const turns = (ms: number): void => {
    for (let at = 0; at < ms; at++) {
      inTurn = 0;
      pass(1);
    }
  };
  put("base", "x");
  for (let i = 0; i < 4_000; i++) put(`old${i}`, "x".repeat(900), { demanded: true });
  writer.changed();
  turns(writeSoonMs + 4_000);
  assert.ok(disk.usage().bytes > 1_500_000);
  for (let i = 0; i < 100; i++) put(`new${i}`, "y".repeat(900), { demanded: true });
  writer.changed();
  turns(writeSoonMs + 4_000);
  const after = kept();
  assert.ok(Array.from({ length: 100 }, (_, i) => `cluster new${i}`).every((key) => after.includes(key)));
  assert.ok(after.includes("cluster base"));
  assert.ok(disk.usage().bytes <= 2_000_000 && files.highest <= 2_000_010, `${files.highest}`);
  assert.ok(most <= 2, `${most} files in one turn`);
});

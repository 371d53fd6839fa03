import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualTime } from "@weft/core/testing/virtual-time";
import fc from "fast-check";
import { evictIdleMs, refreshAheadMs } from "./limits.ts";
import { createMemoryLevel, type EntryUse } from "./memory-level.ts";
import { testCounters } from "./testing/counters.ts";

const ttlMs = 60_000;
const setup = (over: { ttlMs?: number; bytesMax?: number } = {}) => {
  const time = virtualTime();
  const uses = new Map<string, EntryUse | undefined>();
  const done: string[] = [];
  const { l1: counters } = testCounters();
  const level = createMemoryLevel({
    ...{ ttlMs, bytesMax: 1e6, clock: time.clock, setTimer: time.setTimer, counters },
    useOf: (name) => (uses.has(name) ? uses.get(name) : { count: 0, busy: false }),
    release: (_, name) => void done.push(`-${name}`),
    refreshed: (_, name) => void done.push(`+${name}@${time.clock.nowMs()}`),
    ...over,
  });
  const use = (name: string, count: number, busy = false): void => void uses.set(name, { count, busy });
  const names = (): readonly string[] => level.entries().map(({ name }) => name);
  return { ...time, level, uses, use, done, counters, names };
};

test("what is not used leaves when its time is over, not before", () => {
  const { level, pass, done, names, counters } = setup();
  level.put("ads", "a", 10);
  pass(ttlMs - 1);
  assert.deepEqual([names(), level.usage()], [["a"], { entries: 1, bytes: 10 }]);
  pass(1);
  assert.deepEqual([names(), done, level.usage()], [[], ["-a"], { entries: 0, bytes: 0 }]);
  assert.deepEqual([counters.evicted.value, counters.refreshed.value], [1, 0]);
});

test("what is used is refreshed five seconds before its time is over, as often as it is used, and then leaves", () => {
  const { level, pass, done, use, counters } = setup();
  level.put("ads", "a", 10);
  pass(1_000);
  use("a", 3);
  pass(ttlMs - refreshAheadMs - 1_001);
  assert.deepEqual(done, []);
  pass(1);
  assert.deepEqual(done, [`+a@${ttlMs - refreshAheadMs}`]);
  use("a", 4);
  pass(ttlMs - refreshAheadMs);
  assert.equal(done.length, 2);
  assert.deepEqual([counters.hits.value, counters.refreshed.value], [4, 2]);
  pass(ttlMs);
  assert.deepEqual(done.slice(2), ["-a"]);
});

test("what is used in the last five seconds stays as well", () => {
  const { level, pass, done, use } = setup();
  level.put("ads", "a", 1);
  pass(ttlMs - 100);
  use("a", 1);
  pass(100);
  assert.deepEqual(done, [`+a@${ttlMs}`]);
});

test("a connection that goes on and on is use, and so is what nobody can tell", () => {
  const { level, pass, done, use, uses } = setup();
  level.put("ads", "long", 1);
  level.put("ads", "unknown", 1);
  use("long", 0, true);
  uses.set("unknown", undefined);
  pass(10 * ttlMs);
  assert.ok(done.length >= 20 && done.every((one) => one.startsWith("+")));
});

test("a very short time is refreshed in its middle", () => {
  const { level, pass, done, use } = setup({ ttlMs: 1_000 });
  level.put("ads", "a", 1);
  use("a", 1);
  pass(500);
  assert.deepEqual(done, ["+a@500"]);
});

test("room is made by what was used longest ago, and never by what was used just now", () => {
  const { level, pass, done, use } = setup();
  for (const name of ["a", "b", "c"]) level.put("ads", name, 1);
  assert.equal(level.makeRoom(), false);
  pass(evictIdleMs);
  use("a", 1);
  assert.equal(level.makeRoom(), true);
  assert.deepEqual(done, ["-b"]);
  use("c", 1);
  assert.equal(level.makeRoom(), false, "that c was used is seen when it is its turn");
});

test("more bytes than there may be put out what is idle", () => {
  const { level, pass, names } = setup({ bytesMax: 100 });
  level.put("ads", "old", 60);
  pass(evictIdleMs);
  level.put("ads", "new", 60);
  assert.deepEqual([names(), level.usage().bytes], [["new"], 60]);
  level.put("ads", "new", 20);
  assert.equal(level.usage().bytes, 20);
});

test("what was removed or given up by others has no timer left, nor has a level that is closed", () => {
  const { level, pass, done, timers } = setup();
  level.put("ads", "a", 1);
  level.remove("ads", "a");
  pass(2 * ttlMs);
  assert.deepEqual([done, timers.size], [[], 0]);
  level.put("ads", "a", 1);
  level[Symbol.dispose]();
  assert.equal(timers.size, 0);
});

test("whatever comes, is used and goes, no unused entry outlives its time, no used one leaves before, bytes add up", () => {
  const command = fc.oneof(
    fc.record({ kind: fc.constant("put" as const), name: fc.constantFrom("a", "b", "c"), bytes: fc.nat({ max: 50 }) }),
    fc.record({ kind: fc.constant("use" as const), name: fc.constantFrom("a", "b", "c") }),
    fc.record({ kind: fc.constant("remove" as const), name: fc.constantFrom("a", "b", "c") }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.nat({ max: 40_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const { level, use, pass, done, clock } = setup();
      const model = new Map<string, { bytes: number; usedMs: number }>();
      let count = 0;
      for (const one of commands) {
        if (one.kind === "pass") pass(one.ms);
        else if (one.kind === "use") {
          use(one.name, ++count);
          const known = model.get(one.name);
          if (known) known.usedMs = clock.nowMs();
        } else if (one.kind === "remove") {
          level.remove("ads", one.name);
          model.delete(one.name);
        } else {
          const usedMs = model.get(one.name)?.usedMs ?? clock.nowMs();
          level.put("ads", one.name, one.bytes);
          model.set(one.name, { bytes: one.bytes, usedMs });
        }
        for (const gone of done.splice(0).filter((each) => each.startsWith("-"))) model.delete(gone.slice(1));
        const left = new Map(level.entries().map(({ name, bytes }) => [name, bytes]));
        assert.deepEqual([...left.keys()].sort(), [...model.keys()].sort());
        for (const [name, { bytes, usedMs }] of model) {
          assert.equal(left.get(name), bytes);
          assert.ok(clock.nowMs() - usedMs < 2 * ttlMs, `${name} is kept for too long`);
        }
        assert.equal(
          level.usage().bytes,
          [...model.values()].reduce((sum, { bytes }) => sum + bytes, 0),
        );
      }
    }),
    { numRuns: 500 },
  );
});

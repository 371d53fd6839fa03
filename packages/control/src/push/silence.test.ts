import assert from "node:assert/strict";
import { test } from "node:test";
import { createSilence } from "./silence.ts";

/** Silence of at most a second, with the timers in the test's hands. */
const open = () => {
  let nowMs = 0;
  const timers: { readonly run: () => void; readonly atMs: number }[] = [];
  const late: string[] = [];
  const silence = createSilence<string>({
    clock: { nowMs: () => nowMs, wallMs: () => 0 },
    setTimer: (run, ms) => {
      timers.push({ run, atMs: nowMs + ms });
      return { [Symbol.dispose]: () => {} };
    },
    timeoutMs: 1000,
    onTimeout: (one) => late.push(one),
  });
  const passTime = (ms: number): void => {
    const untilMs = nowMs + ms;
    for (let next = timers[0]; next && next.atMs <= untilMs; next = timers[0]) {
      timers.shift();
      nowMs = next.atMs;
      next.run();
    }
    nowMs = untilMs;
  };
  return { silence, timers, late, passTime };
};

test("each has its own time, and one timer serves all", () => {
  const { silence, timers, late, passTime } = open();
  silence.begin("a");
  passTime(400);
  silence.begin("b");
  silence.begin("c");
  assert.equal(timers.length, 1);
  passTime(599);
  assert.deepEqual(late, []);
  passTime(1);
  assert.deepEqual(late, ["a"]);
  assert.equal(timers.length, 1);
  passTime(400);
  assert.deepEqual(late, ["a", "b", "c"]);
  assert.equal(timers.length, 0);
});

test("who speaks in time is left alone, and who comes after that has the whole time", () => {
  const { silence, late, passTime } = open();
  silence.begin("a");
  passTime(900);
  silence.end("a");
  silence.begin("b");
  passTime(999);
  assert.deepEqual(late, []);
  passTime(1);
  assert.deepEqual(late, ["b"]);
  silence.begin("c");
  passTime(1000);
  assert.deepEqual(late, ["b", "c"]);
});

test("who begins twice is ended once", () => {
  const { silence, late, passTime } = open();
  silence.begin("a");
  silence.begin("a");
  passTime(5000);
  assert.deepEqual(late, ["a"]);
});

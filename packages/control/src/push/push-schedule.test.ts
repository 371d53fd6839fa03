import assert from "node:assert/strict";
import { test } from "node:test";
import { createPushSchedule, type DuePush } from "./push-schedule.ts";

/** A schedule whose pushes take as long as they are told to. */
const setUp = () => {
  let nowMs = 1_000;
  let timer: { readonly at: number; readonly run: () => void } | undefined;
  const pushes: (DuePush & { readonly at: number })[] = [];
  const state = { tookMs: 0, inSlices: false, end: () => {} };
  const schedule = createPushSchedule({
    clock: { nowMs: () => nowMs },
    setTimer: (run, delayMs) => {
      const mine = { at: nowMs + delayMs, run };
      timer = mine;
      return {
        [Symbol.dispose]: () => {
          if (timer === mine) timer = undefined;
        },
      };
    },
    push: (due, done) => {
      pushes.push({ ...due, at: nowMs });
      if (due.all && state.inSlices) {
        state.end = done;
        return;
      }
      nowMs += state.tookMs;
      done();
    },
  });
  const until = (ms: number): void => {
    for (;;) {
      const due = timer;
      if (!due || due.at > ms) break;
      timer = undefined;
      nowMs = Math.max(nowMs, due.at);
      due.run();
    }
    nowMs = Math.max(nowMs, ms);
  };
  return { schedule, pushes, state, until };
};

test("endpoints that change when nothing was pushed lately go at once", () => {
  const { schedule, pushes } = setUp();
  schedule.changed("endpoints");
  assert.deepEqual(pushes, [{ changedAtMs: 1_000, all: false, at: 1_000 }]);
  assert.equal(schedule.pending, false);
});

test("endpoints wait half as long as the last push took, and a hundred milliseconds at most", () => {
  const { schedule, pushes, state, until } = setUp();
  state.tookMs = 30;
  schedule.changed("endpoints");
  schedule.changed("endpoints");
  assert.equal(schedule.pending, true);
  until(1_044);
  assert.equal(pushes.length, 1);
  until(1_045);
  assert.deepEqual(pushes[1], { changedAtMs: 1_030, all: false, at: 1_045 });
  state.tookMs = 5_000;
  until(2_000);
  schedule.changed("endpoints");
  schedule.changed("endpoints");
  until(7_099);
  assert.equal(pushes.length, 3);
  until(7_100);
  assert.equal(pushes.length, 4);
});

test("anything else waits for quiet, a tenth of a second at most, and takes what waits with it", () => {
  const { schedule, pushes, until } = setUp();
  for (let ms = 1_000; ms <= 1_095; ms += 5) {
    until(ms);
    schedule.changed("anything");
    schedule.changed("endpoints");
  }
  assert.equal(pushes.length, 0);
  until(1_100);
  assert.deepEqual(pushes, [{ changedAtMs: 1_000, all: true, at: 1_100 }]);
  until(1_300);
  schedule.changed("anything");
  until(1_305);
  assert.equal(pushes.length, 1);
  until(1_310);
  assert.deepEqual(pushes[1], { changedAtMs: 1_300, all: true, at: 1_310 });
});

test("what is workloads' own goes to all and does not settle, unless something waits that does", () => {
  const { schedule, pushes, until } = setUp();
  schedule.changed("own");
  assert.deepEqual(pushes, [{ changedAtMs: 1_000, all: true, at: 1_000 }]);
  until(1_500);
  schedule.changed("anything");
  until(1_505);
  schedule.changed("own");
  until(1_514);
  assert.equal(pushes.length, 1);
  until(1_515);
  assert.deepEqual(pushes[1], { changedAtMs: 1_500, all: true, at: 1_515 });
});

test("what goes to all while that goes on waits for its end, and endpoints do not", () => {
  const { schedule, pushes, state, until } = setUp();
  state.inSlices = true;
  schedule.changed("own");
  assert.deepEqual(pushes, [{ changedAtMs: 1_000, all: true, at: 1_000 }]);
  assert.deepEqual([schedule.pending, schedule.waits], [true, false]);
  until(1_050);
  schedule.changed("anything");
  until(1_060);
  schedule.changed("own");
  assert.deepEqual([schedule.pending, schedule.waits], [true, true]);
  schedule.changed("endpoints");
  until(1_070);
  schedule.changed("endpoints");
  until(1_300);
  const [, second, third] = pushes;
  assert.deepEqual([second?.at, second?.all, third?.at, third?.all], [1_060, false, 1_070, false]);
  assert.equal(pushes.length, 3);
  state.end();
  assert.equal(pushes.length, 3);
  until(1_599);
  assert.equal(pushes.length, 3);
  until(1_600);
  assert.deepEqual(pushes[3], { changedAtMs: 1_050, all: true, at: 1_600 });
  state.end();
  assert.deepEqual([schedule.pending, schedule.waits], [false, false]);
});

test("services that come without end leave half of the time to whoever registers them", () => {
  const { schedule, pushes, state, until } = setUp();
  state.tookMs = 400;
  for (let ms = 1_000; ms < 5_000; ms += 5) {
    until(ms);
    schedule.changed("anything");
  }
  const gaps = pushes.slice(1).map(({ at }, i) => at - (pushes[i]?.at ?? 0));
  assert.ok(pushes.length >= 4 && gaps.every((gap) => gap >= 800 && gap <= 910), gaps.join());
});

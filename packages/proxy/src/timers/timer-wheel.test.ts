import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import type { SetTimer } from "@weft/core/world";
import { TimerWheel, WheelTimer } from "./timer-wheel.ts";

/** A clock that jumps from one armed callback to the next. */
const virtualTime = () => {
  let now = 1000;
  const pending = new Set<{ readonly at: number; readonly run: () => void }>();
  const setTimer: SetTimer = (run, delayMs) => {
    const entry = { at: now + delayMs, run };
    pending.add(entry);
    return { [Symbol.dispose]: () => void pending.delete(entry) };
  };
  const advance = (toMs: number): void => {
    for (;;) {
      const next = [...pending].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > toMs) break;
      pending.delete(next);
      now = Math.max(now, next.at);
      next.run();
    }
    now = toMs;
  };
  return { clock: { nowMs: () => now, wallMs: () => now }, setTimer, advance, pending };
};

test("each timer fires once, not before its deadline and at most two slots after", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  const random = seededRandom(7);
  const late: string[] = [];
  let fired = 0;
  for (let i = 0; i < 500; i++) {
    const delay = random() < 0.5 ? random() * 3000 : random() * 3_000_000;
    const deadline = time.clock.nowMs() + delay;
    const timer: WheelTimer = new WheelTimer(
      {
        onTimer: () => {
          fired++;
          const off = time.clock.nowMs() - deadline;
          if (off < 0 || off > 8) late.push(`${delay} off by ${off}`);
        },
      },
      0,
    );
    wheel.arm(timer, delay);
    time.advance(time.clock.nowMs() + random() * 50);
  }
  time.advance(4_000_000);
  assert.deepEqual(late, []);
  assert.equal(fired, 500);
});

test("a disarmed timer does not fire, and one armed anew fires at the new time, sooner or later", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  const fired: number[] = [];
  const at = (): number => time.clock.nowMs() - 1000;
  const timer = new WheelTimer({ onTimer: () => fired.push(at()) }, 0);
  wheel.arm(timer, 100);
  timer.disarm();
  time.advance(2000);
  assert.deepEqual(fired, []);
  wheel.arm(timer, 60_000);
  wheel.arm(timer, 100);
  time.advance(3000);
  assert.equal(fired.length, 1);
  wheel.arm(timer, 100);
  wheel.arm(timer, 5000);
  time.advance(4000);
  assert.equal(fired.length, 1);
  time.advance(9000);
  assert.equal(fired.length, 2);
});

test("a timer may arm itself again while it fires", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  let count = 0;
  const timer: WheelTimer = new WheelTimer(
    {
      onTimer: () => {
        count++;
        wheel.arm(timer, 10);
      },
    },
    0,
  );
  wheel.arm(timer, 10);
  time.advance(2000);
  assert.ok(count >= 70 && count <= 100, String(count));
});

test("an empty wheel keeps no timer of the process", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  wheel.arm(new WheelTimer({ onTimer() {} }, 0), 50);
  time.advance(5000);
  assert.equal(time.pending.size, 0);
});

test("a retired timer holds on to nobody, however long it stays linked", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  let fired = 0;
  const owner = { onTimer: () => void fired++ };
  const timer = new WheelTimer(owner, 0);
  wheel.arm(timer, 3_600_000);
  timer.retire();
  assert.notEqual(timer.target, owner);
  time.advance(4_000_000);
  assert.equal(fired, 0);
});

test("timers of what comes and goes do not pile up, and those that stay fire", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  const hour = 3_600_000;
  let fired = 0;
  let most = 0;
  const stay = 3000;
  for (let i = 0; i < 100_000; i++) {
    const timer = new WheelTimer({ onTimer: () => fired++ }, 0);
    wheel.arm(timer, i % 7 === 0 ? 400_000 : hour);
    if (i >= stay) timer.retire();
    if (i % 10 === 0) time.advance(time.clock.nowMs() + 1);
    most = Math.max(most, wheel.size);
  }
  assert.ok(most < 20_000, `${most} timers were held`);
  time.advance(2 * hour);
  assert.equal(fired, stay);
  assert.equal(wheel.size, 0);
});

test("with more timers that stay than it begins to look at, each is looked at now and then only", () => {
  const time = virtualTime();
  const wheel = new TimerWheel(time.clock, time.setTimer);
  let looked = 0;
  const look = (): boolean => {
    looked++;
    return false;
  };
  const count = 50_000;
  for (let i = 0; i < count; i++) {
    wheel.arm(Object.defineProperty(new WheelTimer({ onTimer() {} }, 0), "retired", { get: look }), 3_600_000);
  }
  assert.equal(wheel.size, count);
  assert.ok(looked < 3 * count, `${looked} looks at ${count} timers`);
});

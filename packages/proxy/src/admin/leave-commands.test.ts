import assert from "node:assert/strict";
import { test } from "node:test";
import { createLeaveCommands } from "./leave-commands.ts";

/** The commands, what they told the data plane, and a timer that the test fires. */
const open = () => {
  const told: unknown[] = [];
  const timers: (() => void)[] = [];
  let cancelled = 0;
  const commands = createLeaveCommands(
    {
      drain: async (timeoutMs, scope) => void told.push(["drain", timeoutMs, scope]),
      discourage: ({ healthCheckFailed, draining }) =>
        told.push([healthCheckFailed, draining && `${draining.scope} over ${draining.overMs}`]),
    },
    {
      drainTimeMs: 5,
      setTimer: (callback, ms) => {
        assert.equal(ms, 5);
        timers.push(callback);
        return { [Symbol.dispose]: () => void cancelled++ };
      },
    },
  );
  return { commands, told, timers, cancelled: () => cancelled };
};

test("a drain without parameters stops listeners at once", () => {
  const { commands, told, timers } = open();
  commands.drainListeners({ scope: "inbound", graceful: false, skipExit: false });
  commands.drainListeners({ scope: "all", graceful: false, skipExit: false });
  assert.deepEqual(told, [
    ["drain", 5, "inbound"],
    ["drain", 5, "all"],
  ]);
  assert.equal(timers.length, 0);
});

test("a graceful drain tells clients to leave, and stops listeners when the drain time is over", () => {
  const { commands, told, timers } = open();
  commands.drainListeners({ scope: "inbound", graceful: true, skipExit: false });
  assert.deepEqual(told, [[false, "inbound over 5"]]);
  timers[0]?.();
  assert.deepEqual(told.at(-1), ["drain", 5, "inbound"]);
});

test("to go on accepting means that nothing is stopped, with or without grace", () => {
  for (const graceful of [true, false]) {
    const { commands, told, timers } = open();
    commands.drainListeners({ scope: "all", graceful, skipExit: true });
    assert.deepEqual([told, timers.length], [[[false, "all over 5"]], 0]);
  }
});

test("what is under way already is not begun again, and a wider one takes over", () => {
  const { commands, told, timers } = open();
  const graceful = { graceful: true, skipExit: false } as const;
  commands.drainListeners({ scope: "inbound", ...graceful });
  commands.drainListeners({ scope: "inbound", ...graceful });
  commands.drainListeners({ scope: "all", ...graceful });
  commands.drainListeners({ scope: "inbound", ...graceful });
  assert.deepEqual(told, [
    [false, "inbound over 5"],
    [false, "all over 5"],
  ]);
  for (const fire of timers) fire();
  assert.deepEqual(told.slice(2), [
    ["drain", 5, "inbound"],
    ["drain", 5, "all"],
  ]);
});

test("a failing health check is told once, undone, and leaves a drain under way as it is", () => {
  const { commands, told } = open();
  commands.failHealthCheck(false);
  assert.deepEqual(told, []);
  commands.failHealthCheck(true);
  commands.failHealthCheck(true);
  assert.equal(commands.healthCheckFailed, true);
  commands.drainListeners({ scope: "inbound", graceful: true, skipExit: true });
  commands.failHealthCheck(false);
  assert.deepEqual(told, [
    [true, undefined],
    [true, "inbound over 5"],
    [false, "inbound over 5"],
  ]);
  assert.equal(commands.healthCheckFailed, false);
});

test("a drain that has not come to its end goes with the process", () => {
  const { commands, cancelled } = open();
  commands.drainListeners({ scope: "all", graceful: true, skipExit: false });
  commands[Symbol.dispose]();
  assert.equal(cancelled(), 1);
});

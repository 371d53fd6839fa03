import assert from "node:assert/strict";
import { test } from "node:test";
import { type LogLevel, type LogScope, logScopes } from "@weft/core/world";
import { answerLogging, createLogLevels } from "./logging.ts";

const setup = () => {
  const levels = new Map<LogScope, LogLevel>(logScopes.map((scope) => [scope, "info"]));
  const timers: { fire: () => void; delayMs: number; stopped: boolean }[] = [];
  const log = createLogLevels(
    { levels: () => levels, setLevel: (scope, level) => levels.set(scope, level) },
    (fire, delayMs) => {
      const timer = { fire, delayMs, stopped: false };
      timers.push(timer);
      return {
        [Symbol.dispose]: () => {
          timer.stopped = true;
        },
      };
    },
  );
  const ask = (search: string, method = "POST") =>
    answerLogging({ method, path: "/logging", query: new URLSearchParams(search) }, log);
  return { levels, timers, ask };
};

test("loggers are listed, by GET too", () => {
  const { ask } = setup();
  assert.match(ask("").body, /^active loggers:\n {2}main: info\n {2}admin: info\n/);
  assert.equal(ask("", "GET").status, 200);
});

test("one, several or all levels are set", () => {
  const { ask, levels } = setup();
  assert.match(ask("xds=debug").body, /^ {2}xds: debug$/m);
  assert.match(ask("paths=http:trace,admin:warning").body, /^ {2}admin: warning$/m);
  assert.deepEqual([levels.get("http"), levels.get("admin"), levels.get("dns")], ["trace", "warn", "info"]);
  ask("level=error");
  assert.deepEqual(new Set(levels.values()), new Set(["error"]));
});

test("what is not understood changes nothing", () => {
  const { ask, levels } = setup();
  for (const search of [
    "level=loud",
    "nothing=debug",
    "paths=http:debug,nothing:debug",
    "paths=http",
    "level=debug&for=x",
  ]) {
    const { status, body } = ask(search);
    assert.equal(status, 400, search);
    assert.match(body, /^error: .*\n\nusage: /);
  }
  assert.equal(ask("level=debug", "GET").status, 405);
  assert.deepEqual(new Set(levels.values()), new Set(["info"]));
});

test("a level for a while gives way to the one from before it", () => {
  const { ask, levels, timers } = setup();
  ask("xds=debug&for=10m");
  assert.equal(timers[0]?.delayMs, 600_000);
  ask("xds=trace&for=30s");
  assert.equal(timers[0]?.stopped, true);
  assert.equal(levels.get("xds"), "trace");
  timers[1]?.fire();
  assert.equal(levels.get("xds"), "info");
});

test("a level set for good ends the wait for the one from before", () => {
  const { ask, levels, timers } = setup();
  ask("xds=debug&for=10m");
  ask("xds=error");
  assert.equal(timers[0]?.stopped, true);
  assert.equal(levels.get("xds"), "error");
  ask("level=debug&for=0s");
  assert.equal(levels.get("xds"), "error");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChildExit } from "@weft/net/process/child";
import { type KeepOptions, keepSidecar } from "./keep-sidecar.ts";
import type { RunningSidecar } from "./spawn-sidecar.ts";

/** A sidecar that ends when told to. */
const fakeSidecar = () => {
  const { promise: exited, resolve } = Promise.withResolvers<ChildExit>();
  let ended = false;
  const end = (exit: ChildExit): void => {
    ended = true;
    resolve(exit);
  };
  const stop = async (): Promise<ChildExit> => {
    end({ code: 0, signal: null });
    return exited;
  };
  const child = { pid: 1, exited, hasExited: () => ended, kill: () => {}, stop };
  return { end, hasEnded: () => ended, running: { child, admin: "127.0.0.1:1" } satisfies RunningSidecar };
};

const setUp = (next: () => Promise<RunningSidecar>) => {
  const lines: string[] = [];
  const waits: number[] = [];
  const spoke = Promise.withResolvers<void>();
  const options: KeepOptions = {
    spawn: next,
    say: (line) => {
      lines.push(line);
      if (line.includes("is back")) spoke.resolve();
    },
    wait: async (ms) => void waits.push(ms),
  };
  return { options, lines, waits, back: spoke.promise };
};

test("a sidecar that ends is followed by another, which is said", async () => {
  const sidecars = [fakeSidecar(), fakeSidecar()];
  let started = 0;
  const { options, lines, back } = setUp(async () => (sidecars[started++] as (typeof sidecars)[0]).running);
  await using kept = await keepSidecar(options);
  assert.equal(kept.isUp(), true);
  sidecars[0]?.end({ code: null, signal: "SIGKILL" });
  await back;
  assert.equal(kept.isUp(), true);
  assert.deepEqual(lines, ["WF9043 the sidecar ended (SIGKILL); starting another", "weft: the sidecar is back"]);
});

test("starts that fail are tried again, ever more slowly, and the registration is told that it is down", async () => {
  const [first, last] = [fakeSidecar(), fakeSidecar()];
  let started = 0;
  const down: boolean[] = [];
  const { options, lines, waits, back } = setUp(async () => {
    if (started++ === 0) return first.running;
    down.push(!kept.isUp());
    if (started < 4) throw new Error("no");
    return last.running;
  });
  const kept = await keepSidecar(options);
  first.end({ code: 1, signal: null });
  await back;
  assert.deepEqual(waits, [250, 500, 1000]);
  assert.deepEqual(down, [true, true, true]);
  assert.deepEqual(lines.slice(1, 3), ["no", "no"]);
  await kept[Symbol.asyncDispose]();
  assert.ok(last.hasEnded());
});

test("disposing stops it and starts no other", async () => {
  const sidecar = fakeSidecar();
  let started = 0;
  const { options, lines } = setUp(async () => {
    started++;
    return sidecar.running;
  });
  await (await keepSidecar(options))[Symbol.asyncDispose]();
  assert.ok(sidecar.hasEnded());
  assert.deepEqual([started, lines], [1, []]);
});

test("one that becomes ready while all stops is stopped too", async () => {
  const [first, late] = [fakeSidecar(), fakeSidecar()];
  const { promise: ready, resolve } = Promise.withResolvers<RunningSidecar>();
  const asked = Promise.withResolvers<void>();
  let started = 0;
  const { options } = setUp(async () => {
    if (started++ === 0) return first.running;
    asked.resolve();
    return ready;
  });
  const kept = await keepSidecar(options);
  first.end({ code: 1, signal: null });
  await asked.promise;
  const stopped = kept[Symbol.asyncDispose]();
  resolve(late.running);
  await stopped;
  assert.ok(late.hasEnded());
});

test("a first start that fails is the caller's error", async () => {
  const { options } = setUp(() => Promise.reject(new Error("no certificate")));
  await assert.rejects(keepSidecar(options), /no certificate/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { shrinkEveryMs, shrinkGivenUpMs } from "./limits.ts";
import { createShrinkCell, ShrinkTurn } from "./shrink-turn.ts";

const open = () => {
  const cell = createShrinkCell();
  const state = { now: 5, done: 0 };
  const take = (turn: ShrinkTurn, work = (): void => void state.done++): boolean => turn.take(() => state.now, work);
  return { state, take, one: new ShrinkTurn(cell), other: new ShrinkTurn(cell), cell };
};

test("threads do not do it at the same time", () => {
  const { take, one, other } = open();
  let inside: boolean | undefined;
  assert.equal(
    take(one, () => {
      inside = take(other);
    }),
    true,
  );
  assert.equal(inside, false);
});

test("none does it again before its time, counted from when the last was done", () => {
  const { state, take, one, other } = open();
  take(one, () => {
    state.now += 3_000;
  });
  state.now += shrinkEveryMs - 1;
  assert.deepEqual([take(one), take(other)], [false, false]);
  state.now += 1;
  assert.deepEqual([take(other), take(one)], [true, false]);
  assert.equal(state.done, 1);
});

test("work that throws gives the turn back all the same", () => {
  const { state, take, one, other } = open();
  assert.throws(() =>
    take(one, () => {
      throw new Error("broken");
    }),
  );
  state.now += shrinkEveryMs;
  assert.equal(take(other), true);
});

test("a thread that dies over it keeps the others waiting for a while only", async () => {
  const { state, take, other, cell } = open();
  const path = new URL("./shrink-turn.ts", import.meta.url).href;
  const code = `import { workerData } from "node:worker_threads";
    const { ShrinkTurn } = await import(${JSON.stringify(path)});
    new ShrinkTurn(workerData).take(() => 5, () => process.exit());`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: cell });
  await new Promise((resolve) => worker.once("exit", resolve));
  state.now += shrinkGivenUpMs - 1;
  assert.equal(take(other), false);
  state.now += 1;
  assert.equal(take(other), true);
});

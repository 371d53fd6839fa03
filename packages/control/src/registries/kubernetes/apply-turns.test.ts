import assert from "node:assert/strict";
import { test } from "node:test";
import { createApplyTurns, turnMs } from "./apply-turns.ts";

/** Each change takes a millisecond. */
const start = () => {
  let nowMs = 0;
  let due: (() => void) | undefined;
  const applied: string[] = [];
  const told: string[] = [];
  const turns = createApplyTurns<number>({
    clock: { nowMs: () => nowMs },
    setTimer: (run) => {
      due = run;
      return {
        [Symbol.dispose]: () => {
          due = undefined;
        },
      };
    },
    apply: (id, key, change) => {
      nowMs++;
      applied.push(`${id}/${key}=${change}`);
    },
    applied: (ids) => void told.push([...ids].join(" ")),
  });
  const turn = (): boolean => {
    const run = due;
    due = undefined;
    run?.();
    return run !== undefined;
  };
  const many = (count: number, value = 0) =>
    new Map(Array.from({ length: count }, (_, at): [string, number] => [String(at), value]));
  return { turns, applied, told, turn, many };
};

test("a few changes are applied at once", () => {
  const { turns, applied, told, turn, many } = start();
  turns.add("a", many(3));
  assert.deepEqual([applied.length, told, turns.busy(), turn()], [3, ["a"], false, false]);
  turns.add("a", new Map());
  assert.equal(told.length, 1);
});

test("many are applied in turns, each once, and all of them", () => {
  const { turns, applied, told, turn, many } = start();
  turns.add("a", many(25));
  assert.deepEqual([applied.length, turns.busy()], [turnMs, true]);
  turns.add("b", many(1));
  while (turn());
  assert.equal(new Set(applied).size, 26);
  assert.deepEqual([applied.length, turns.busy(), told], [26, false, ["a", "a", "a b"]]);
});

test("what changes again while it waits is applied once, as it then is", () => {
  const { turns, applied, turn, many } = start();
  turns.add("a", many(25));
  turns.add("a", new Map([["24", 7]]));
  turns.add("a", new Map([["0", 8]]));
  while (turn());
  assert.equal(applied.filter((one) => one.startsWith("a/24=")).join(), "a/24=7");
  assert.equal(applied.filter((one) => one.startsWith("a/0=")).join(), "a/0=0,a/0=8");
});

test("what is forgotten, or waits when it ends, is not applied", () => {
  const { turns, applied, turn, many } = start();
  turns.add("a", many(25));
  turns.add("b", many(2));
  turns.forget("a");
  while (turn());
  assert.equal(applied.length, turnMs + 2);
  turns.add("a", many(25));
  turns[Symbol.dispose]();
  assert.deepEqual([turn(), turns.busy()], [false, false]);
});

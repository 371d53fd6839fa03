import assert from "node:assert/strict";
import { test } from "node:test";
import { type DemandCache, Demands } from "./demands.ts";

const source = { kind: "ads" } as const;
const setup = (namesMax: number, makeRoom: () => boolean = () => false) => {
  const told: string[] = [];
  const timers: (() => void)[] = [];
  const counter = () => ({ value: 0, add: () => undefined });
  const counters = { asked: counter(), found: counter(), missing: counter(), timeout: counter() };
  const overflows = { waitingOverflow: counter(), namesOverflow: counter() };
  const setTimer = (run: () => void): Disposable => {
    timers.push(run);
    return { [Symbol.dispose]: () => undefined };
  };
  const demands = new Demands(setTimer, { ...counters, ...overflows }, namesMax);
  const on = (what: string) => (_: string, name: string) => void told.push(`${what} ${name}`);
  const cache: DemandCache = {
    ...{ wanted: on("wanted"), gone: on("gone"), late: on("late"), awaited: on("awaited"), makeRoom },
    found: (_, name, isNew) => void told.push(`found ${name}${isNew ? "" : " again"}`),
  };
  demands.keepIn(cache);
  const ends: string[] = [];
  const ask = (name: string) =>
    demands.ask({ source, name, timeoutMs: 100 }, (end) => void ends.push(`${name} ${end}`));
  return { demands, told, ask, ends, late: () => timers.splice(0).forEach((run) => void run()) };
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a name is looked for below once while it is waited for, and not at all while it is here", () => {
  const { demands, told, ask } = setup(10);
  ask("a");
  ask("a");
  demands.found("a");
  demands.found("a");
  ask("a");
  assert.deepEqual(told, ["wanted a", "found a", "found a again"]);
});

test("before a wait ends in vain there is a last look; what that finds is told as found", async () => {
  const { demands, told, ask, ends, late } = setup(10);
  demands.keepIn({
    ...{ wanted: () => undefined, gone: () => undefined, awaited: () => undefined, makeRoom: () => false },
    ...{ found: (_, name) => void told.push(`found ${name}`), late: (_, name) => name === "a" && demands.found(name) },
  });
  ask("a");
  ask("b");
  late();
  await turn();
  assert.deepEqual(ends.sort(), ["a found", "b timeout"]);
});

test("where its source is away only what is waited for and not here is looked for below", () => {
  const { demands, told, ask } = setup(10);
  ask("a");
  ask("b")?.[Symbol.dispose]();
  ask("c");
  demands.found("c");
  told.length = 0;
  demands.fallBack("api:other");
  demands.fallBack("ads");
  assert.deepEqual(told, ["awaited a"]);
});

test("with no room left something unused is given up, or the new name is refused", () => {
  const released: string[] = [];
  const kept = setup(2, () => {
    const [oldest] = kept.demands.namesOf("ads");
    if (oldest === undefined || released.length > 0) return false;
    released.push(oldest);
    kept.demands.release("ads", oldest);
    return true;
  });
  const { demands, ask } = kept;
  for (const name of ["a", "b"]) {
    ask(name)?.[Symbol.dispose]();
    demands.found(name);
  }
  assert.ok(ask("c"));
  assert.deepEqual([released, [...demands.namesOf("ads")]], [["a"], ["b", "c"]]);
  assert.equal(ask("d"), undefined);
});

test("what is waited for is not given up", () => {
  const { demands, ask } = setup(10);
  ask("a");
  demands.release("ads", "a");
  assert.equal(demands.has("ads", "a"), true);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DemandOutcome, Demands } from "./demands.ts";
import { demandedNameLengthMax, demandedNamesMax, demandsWaitingMax } from "./limits.ts";

const ads = { kind: "ads" } as const;

const setup = () => {
  const timers = new Set<() => void>();
  const subscribed: (readonly [key: string, ...names: string[]])[] = [];
  const counts = new Map<string, number>();
  const counter = (name: string) => ({
    add: (n: number) => void counts.set(name, (counts.get(name) ?? 0) + n),
    value: 0,
  });
  const demands = new Demands(
    (run) => {
      timers.add(run);
      return { [Symbol.dispose]: () => timers.delete(run) };
    },
    {
      asked: counter("asked"),
      found: counter("found"),
      missing: counter("missing"),
      timeout: counter("timeout"),
      waitingOverflow: counter("waitingOverflow"),
      namesOverflow: counter("namesOverflow"),
    },
  );
  demands.attach((key) => subscribed.push([key, ...demands.namesOf(key)]));
  const outcomes: string[] = [];
  const ask = (name: string, timeoutMs = 5_000): Disposable | undefined =>
    demands.ask({ source: ads, name, timeoutMs }, (outcome: DemandOutcome) => outcomes.push(`${name} ${outcome}`));
  const late = (): void => {
    for (const run of [...timers]) run();
  };
  return { demands, ask, late, timers, subscribed, counts, outcomes };
};
const turn = (): Promise<void> => Promise.resolve().then(() => undefined);

test("all that ask for one name wait for one subscription, and hear of it together, never at once", async () => {
  const { demands, ask, subscribed, outcomes } = setup();
  ask("a");
  ask("a");
  ask("b");
  await turn();
  assert.deepEqual(subscribed, [["ads", "a", "b"]]);
  demands.found("a");
  assert.deepEqual(outcomes, []);
  await turn();
  assert.deepEqual(outcomes, ["a found", "a found"]);
  assert.deepEqual([demands.awaits("a"), demands.awaits("b")], [false, true]);
});

test("what is not there is forgotten, so that the next one asks anew", async () => {
  const { demands, ask, subscribed, outcomes } = setup();
  ask("a");
  await turn();
  demands.missing("ads", "a");
  await turn();
  await turn();
  ask("a");
  await turn();
  assert.deepEqual(outcomes, ["a missing"]);
  assert.deepEqual(subscribed, [["ads", "a"], ["ads"], ["ads", "a"]]);
});

test("what another source has not is no answer", async () => {
  const { demands, ask, outcomes } = setup();
  ask("a");
  demands.missing("api:other", "a");
  await turn();
  assert.deepEqual(outcomes, []);
});

test("what does not come in time stays subscribed to, and is known when it comes after all", async () => {
  const { demands, ask, late, timers, outcomes } = setup();
  ask("a");
  ask("a");
  assert.equal(timers.size, 1);
  late();
  assert.deepEqual(outcomes, ["a timeout", "a timeout"]);
  assert.equal(timers.size, 0);
  assert.deepEqual([...demands.namesOf("ads")], ["a"]);
  demands.found("a");
  await turn();
  assert.equal(outcomes.length, 2);
});

test("a wait without an end has no timer", () => {
  const { ask, timers } = setup();
  ask("a", Number.POSITIVE_INFINITY);
  assert.equal(timers.size, 0);
});

test("who leaves hears nothing, holds no place and leaves no timer", async () => {
  const { demands, ask, timers, outcomes } = setup();
  for (let i = 0; i < 3 * demandsWaitingMax; i++) {
    const one = ask("a");
    assert.ok(one);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
  }
  assert.equal(timers.size, 0);
  demands.found("a");
  await turn();
  assert.deepEqual(outcomes, []);
});

test("too many do not wait, and are counted", async () => {
  const { demands, ask, counts } = setup();
  for (let i = 0; i < demandsWaitingMax; i++) assert.ok(ask("a"));
  assert.equal(ask("a"), undefined);
  assert.equal(counts.get("waitingOverflow"), 1);
  demands.found("a");
  await turn();
  assert.ok(ask("a"));
});

test("a name that never came gives way to a new one, one that came or is waited for does not", async () => {
  const { demands, ask, late, counts } = setup();
  ask("never");
  late();
  ask("came");
  demands.found("came");
  await turn();
  for (let i = 2; i < demandedNamesMax; i++) assert.ok(ask(`waited ${i}`, Number.POSITIVE_INFINITY));
  assert.ok(ask("one more", Number.POSITIVE_INFINITY));
  assert.equal(demands.namesOf("ads").has("never"), false);
  assert.equal(demands.namesOf("ads").has("came"), true);
  assert.equal(ask("too many"), undefined);
  assert.equal(counts.get("namesOverflow"), 1);
  assert.equal(demands.namesOf("ads").size, demandedNamesMax);
});

test("a name without measure is not asked for", () => {
  const { demands, ask, counts } = setup();
  assert.equal(ask("x".repeat(demandedNameLengthMax + 1)), undefined);
  assert.equal(counts.get("namesOverflow"), 1);
  assert.equal(demands.namesOf("ads").size, 0);
});

test("a source that nobody is to ask any more gives up its names, and who waits hears that there is nothing", async () => {
  const { demands, ask, subscribed, outcomes } = setup();
  ask("a");
  await turn();
  assert.deepEqual(demands.drop("ads"), ["a"]);
  await turn();
  await turn();
  assert.deepEqual(outcomes, ["a missing"]);
  assert.deepEqual(subscribed.at(-1), ["ads"]);
  assert.deepEqual(demands.sources(), []);
});

test("whatever happens in whatever order, everybody hears once or left, and the bounds' counts stay true", async () => {
  const step = fc.record({
    what: fc.constantFrom("ask", "leave", "found", "missing", "late", "drop", "turn"),
    name: fc.constantFrom("a", "b", "c"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { demands, late } = setup();
      const heard: number[] = [];
      const left: (Disposable | undefined)[] = [];
      for (const { what, name } of steps) {
        if (what === "ask") {
          const at = heard.push(0) - 1;
          const tell = (): void => {
            heard[at] = (heard[at] ?? 0) + 1;
          };
          left.push(demands.ask({ source: ads, name, timeoutMs: 1 }, tell));
        } else if (what === "leave") {
          const at = heard.lastIndexOf(0);
          if (at < 0) continue;
          left[at]?.[Symbol.dispose]();
          heard[at] = 1;
        } else if (what === "late") late();
        else if (what === "drop") demands.drop("ads");
        else if (what === "turn") await turn();
        else if (what === "found") demands.found(name);
        else demands.missing("ads", name);
      }
      await turn();
      late();
      demands.drop("ads");
      await turn();
      assert.ok(heard.every((times) => times === 1));
      assert.deepEqual(
        ["a", "b", "c"].map((name) => demands.awaits(name)),
        [false, false, false],
      );
      for (let i = 0; i < demandsWaitingMax; i++)
        assert.ok(demands.ask({ source: ads, name: "z", timeoutMs: 1 }, () => {}));
    }),
    { numRuns: 200 },
  );
});

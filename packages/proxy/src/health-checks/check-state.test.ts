import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkFlags } from "../clusters/host.ts";
import { type CheckResult, CheckState } from "./check-state.ts";
import { nextCheckMs } from "./next-check.ts";

const pass: CheckResult = { kind: "passed", degraded: false };
const failBy = (by: "answer" | "network" | "timeout", retriable = false, exclude = false): CheckResult => ({
  kind: "failed",
  ...{ by, retriable, exclude },
});

/** Flags after each of these results. */
const run = (
  results: readonly CheckResult[],
  begin: number,
  healthyThreshold = 2,
  unhealthyThreshold = 3,
): number[] => {
  const state = new CheckState({ healthyThreshold, unhealthyThreshold });
  let flags = begin;
  return results.map((result) => {
    flags = state.take(result, flags).flags;
    return flags;
  });
};
const { failed, timeout, degraded, pending, excluded } = checkFlags;

test("the first success makes a host healthy at once, later ones need their number", () => {
  assert.deepEqual(run([pass], failed), [0]);
  assert.deepEqual(run([failBy("network"), pass, pass], failed), [failed, failed, 0]);
});

test("failures of the network need their number in a row, a bad answer does not", () => {
  const net = failBy("network");
  assert.deepEqual(run([pass, net, net, net], failed), [0, 0, 0, failed]);
  assert.deepEqual(run([pass, net, net, pass, net, net], failed), [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(run([pass, failBy("answer")], failed), [0, failed]);
  assert.deepEqual(run([pass, failBy("answer", true), failBy("answer", true)], failed), [0, 0, 0]);
});

test("a timeout shows only while the host is failed, and goes with another cause or a success", () => {
  const late = failBy("timeout");
  assert.deepEqual(run([pass, late, late, late], failed), [0, 0, 0, failed | timeout]);
  assert.deepEqual(run([late, failBy("network"), late, pass, pass], failed, 2), [
    failed | timeout,
    failed,
    failed | timeout,
    failed | timeout,
    0,
  ]);
});

test("degraded comes and goes with each answer", () => {
  const poor: CheckResult = { kind: "passed", degraded: true };
  assert.deepEqual(run([poor, pass, poor], failed), [degraded, 0, degraded]);
});

test("a host that asks not to be used is excluded until it is healthy again", () => {
  const out = failBy("answer", false, true);
  assert.deepEqual(run([pass, out, pass, pass], failed), [0, failed | excluded, failed | excluded, 0]);
});

test("the first result of whatever kind ends that a host does not count", () => {
  assert.deepEqual(run([failBy("network")], failed | pending), [failed]);
  assert.deepEqual(run([pass], failed | pending), [0]);
});

test("no sequence leaves a host failed after enough successes, or healthy after enough failures", () => {
  const results = fc.array(
    fc.oneof(
      fc.boolean().map((poor): CheckResult => ({ kind: "passed", degraded: poor })),
      fc
        .tuple(fc.constantFrom("answer", "network", "timeout"), fc.boolean(), fc.boolean())
        .map(([by, retriable, exclude]) => failBy(by as "answer", retriable, exclude)),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(results, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), (list, up, down) => {
      const good = run([...list, ...new Array<CheckResult>(up).fill(pass)], failed, up, down);
      assert.equal(good.at(-1), 0);
      const bad = run([...list, ...new Array<CheckResult>(down).fill(failBy("network"))], failed, up, down);
      assert.equal((bad.at(-1) ?? 0) & failed, failed);
    }),
    { seed: 5, numRuns: 300 },
  );
});

test("the next check comes after the interval that fits, with jitter on top", () => {
  const intervals = {
    intervalMs: 10,
    initialJitterMs: 0,
    jitterMs: 0,
    jitterPercent: 0,
    noTrafficMs: 60,
    noTrafficHealthyMs: 50,
    unhealthyMs: 20,
    unhealthyEdgeMs: 30,
    healthyEdgeMs: 40,
  };
  const next = (healthy: boolean, transition: "changed" | "pending" | "unchanged", traffic = true): number =>
    nextCheckMs(intervals, { flags: 0, transition, healthy }, traffic, () => 0.5);
  assert.deepEqual([next(true, "unchanged"), next(true, "changed"), next(true, "pending")], [10, 10, 40]);
  assert.deepEqual([next(false, "unchanged"), next(false, "pending")], [20, 30]);
  const quiet = [next(true, "unchanged", false), next(true, "pending", false), next(false, "unchanged", false)];
  assert.deepEqual(quiet, [50, 60, 60]);
  const verdict = { flags: 0, transition: "unchanged", healthy: true } as const;
  assert.equal(
    nextCheckMs({ ...intervals, jitterMs: 8 }, verdict, true, () => 0.5),
    14,
  );
  assert.equal(
    nextCheckMs({ ...intervals, jitterPercent: 50 }, verdict, true, () => 0.5),
    12,
  );
  assert.equal(
    nextCheckMs({ ...intervals, intervalMs: 0 }, verdict, true, () => 0),
    1,
  );
});

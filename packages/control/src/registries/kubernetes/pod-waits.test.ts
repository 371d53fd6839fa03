import assert from "node:assert/strict";
import { test } from "node:test";
import { createPodWaits, podWaitMs } from "./pod-waits.ts";

test("an address waits for its pod until it comes, or its time is over", () => {
  const waits = createPodWaits();
  waits.names("slice", ["n/a", "n/b"], 0);
  assert.equal(waits.waiting(), 2);
  waits.came("n/a");
  assert.equal(waits.waiting(), 1);
  assert.deepEqual(waits.due(podWaitMs - 1), []);
  assert.deepEqual(waits.due(podWaitMs), ["n/b"]);
  assert.deepEqual([...waits.missing()], ["n/b"]);
  waits.came("n/b");
  assert.deepEqual([...waits.missing()], []);
  assert.deepEqual(waits.takeForgotten(), ["n/b"]);
});

test("a slice that is told again begins no new wait", () => {
  const waits = createPodWaits();
  waits.names("slice", ["n/a"], 0);
  waits.names("slice", ["n/a"], podWaitMs - 1);
  assert.deepEqual(waits.due(podWaitMs), ["n/a"]);
  waits.names("slice", ["n/a"], podWaitMs + 1);
  assert.equal(waits.waiting(), 0);
});

test("a pod that went is remembered while an address names it, and forgotten with the last", () => {
  const waits = createPodWaits();
  waits.came("n/a");
  waits.names("one", ["n/a"], 0);
  waits.names("two", ["n/a"], 0);
  assert.equal(waits.went("n/a"), false);
  waits.names("one", [], 0);
  assert.deepEqual(waits.takeForgotten(), []);
  waits.names("two", [], 0);
  assert.deepEqual(waits.takeForgotten(), ["n/a"]);
  waits.came("n/b");
  assert.equal(waits.went("n/b"), true);
});

test("what nobody waits for any more is no wait", () => {
  const waits = createPodWaits();
  waits.names("slice", ["n/a"], 0);
  waits.names("slice", [], 5);
  assert.equal(waits.deadlineMs(), undefined);
  assert.deepEqual(waits.due(podWaitMs * 2), []);
});

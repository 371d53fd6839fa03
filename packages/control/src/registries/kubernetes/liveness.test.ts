import assert from "node:assert/strict";
import { test } from "node:test";
import { createLiveness, lateMs } from "./liveness.ts";

const quietMs = 30_000;
const answerMs = 15_000;
/** Asked at the start, and answered at once. */
const begun = () => {
  const liveness = createLiveness({ quietMs, answerMs });
  liveness.busy(true, 0);
  assert.equal(liveness.due(0), "ask");
  liveness.heard(0);
  return liveness;
};

test("a server is asked every 30 s, however much it says", () => {
  const liveness = begun();
  const asked: number[] = [];
  for (let now = 0; now <= 120_000; now += 500) {
    if (now < 60_000 && now % 7_000 === 0) liveness.heard(now);
    if (now < (liveness.deadlineMs() ?? 0)) continue;
    const verdict = liveness.due(now);
    assert.notEqual(verdict, "gone");
    if (verdict !== "ask") continue;
    asked.push(now);
    liveness.heard(now);
  }
  assert.deepEqual(asked, [30_000, 60_000, 90_000, 120_000]);
});

test("the verdict falls 45 s after the last word where the question is not answered, and says since when", () => {
  const liveness = begun();
  liveness.heard(20_000);
  assert.equal(liveness.deadlineMs(), 30_000);
  assert.equal(liveness.due(29_999), "wait");
  assert.equal(liveness.due(30_000), "ask");
  liveness.unanswered(45_000);
  assert.equal(liveness.deadlineMs(), 65_000);
  assert.equal(liveness.due(64_999), "wait");
  assert.equal(liveness.silentSinceMs(), undefined);
  assert.equal(liveness.due(65_000), "gone");
  assert.equal(liveness.silentSinceMs(), 20_000);
  // What is begun then is asked about at once, and has as long; the silence is as old as it is.
  assert.equal(liveness.due(65_000), "ask");
  assert.equal(liveness.due(109_999), "wait");
  assert.equal(liveness.due(110_000), "gone");
  assert.equal(liveness.silentSinceMs(), 20_000);
  liveness.answered();
  assert.equal(liveness.silentSinceMs(), undefined);
});

test("an answer, or a watch's word, before the verdict counts as life", () => {
  const liveness = begun();
  assert.equal(liveness.due(30_000), "ask");
  liveness.heard(44_999);
  assert.equal(liveness.due(45_000), "wait");
  assert.equal(liveness.deadlineMs(), 74_999);
});

test("a question that fails at once is asked again, on another connection, and still has its verdict in time", () => {
  const liveness = begun();
  const asked: number[] = [];
  let verdict = liveness.due(30_000);
  for (let now = 30_000; verdict !== "gone"; verdict = liveness.due(now)) {
    if (verdict === "ask") {
      asked.push(now);
      liveness.unanswered(now + 1);
    }
    now = liveness.deadlineMs() ?? Number.NaN;
    assert.ok(now <= 45_000);
  }
  assert.deepEqual(asked, [30_000, 35_001, 40_002]);
});

test("nobody is asked while nothing is under way, and what begins has its full time, with one question in 30 s", () => {
  const liveness = begun();
  liveness.busy(false, 1_000);
  assert.equal(liveness.deadlineMs(), undefined);
  assert.equal(liveness.due(100_000), "wait");
  liveness.busy(true, 100_000);
  liveness.busy(true, 101_000);
  assert.equal(liveness.due(101_000), "ask");
  liveness.busy(false, 102_000);
  liveness.busy(true, 103_000);
  assert.equal(liveness.deadlineMs(), 131_000);
  assert.equal(liveness.due(131_000), "ask");
  assert.equal(liveness.due(147_999), "wait");
  assert.equal(liveness.due(148_000), "gone");
});

test("whoever stood still itself reads what came meanwhile before the verdict", () => {
  const liveness = begun();
  assert.equal(liveness.due(30_000), "ask");
  assert.equal(liveness.due(300_000), "wait");
  const again = liveness.deadlineMs() ?? 0;
  assert.ok(again > 300_000 && again <= 300_000 + lateMs);
  assert.equal(liveness.due(again), "gone");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { learnedIdleHoldsMs } from "./limits.ts";
import { PeerPatience } from "./peer-patience.ts";

const never = Number.POSITIVE_INFINITY;

test("nothing is known of a server that said nothing", () => {
  assert.equal(new PeerPatience().restMs(0), never);
});

test("what a server says is undercut by a fifth, by 100 ms at least and 2 s at most", () => {
  const cases: readonly (readonly [number, number])[] = [
    [5, 4_000],
    [75, 73_000],
    [1, 800],
    [0, 0],
  ];
  for (const [seconds, restMs] of cases) {
    const patience = new PeerPatience();
    patience.told(seconds);
    assert.equal(patience.restMs(0), restMs, `timeout=${seconds}`);
  }
});

test("what it says later holds instead", () => {
  const patience = new PeerPatience();
  patience.told(5);
  patience.told(60);
  assert.equal(patience.restMs(0), 58_000);
});

test("one close is no limit, two that agree are", () => {
  const patience = new PeerPatience();
  patience.closedIdle(10_000, 0);
  assert.equal(patience.restMs(0), never);
  patience.closedIdle(10_300, 20_000);
  assert.equal(patience.restMs(20_000), 8_000);
});

test("closes of one moment count once: a server that restarts teaches nothing", () => {
  const patience = new PeerPatience();
  for (let i = 0; i < 20; i++) patience.closedIdle(10_000 + i, 50_000);
  assert.equal(patience.restMs(50_000), never);
});

test("closes that differ teach nothing", () => {
  const patience = new PeerPatience();
  patience.closedIdle(10_000, 0);
  patience.closedIdle(30_000, 60_000);
  patience.closedIdle(5_000, 120_000);
  assert.equal(patience.restMs(120_000), never);
});

test("a close right after a request teaches nothing", () => {
  const patience = new PeerPatience();
  patience.closedIdle(20, 0);
  patience.closedIdle(21, 10_000);
  assert.equal(patience.restMs(10_000), never);
});

test("what closes taught is forgotten in time, what was said is not", () => {
  const patience = new PeerPatience();
  patience.told(100);
  patience.closedIdle(10_000, 0);
  patience.closedIdle(10_000, 20_000);
  assert.equal(patience.restMs(20_000), 8_000);
  assert.equal(patience.restMs(20_001 + learnedIdleHoldsMs), 98_000);
});

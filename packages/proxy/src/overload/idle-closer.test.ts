import assert from "node:assert/strict";
import { test } from "node:test";
import { createStats } from "../observe/create-stats.ts";
import { IdleCloser, type IdleConnection } from "./idle-closer.ts";
import { idleCloseLeast, idleCloseMost, idleCloseShare } from "./limits.ts";

class Fake implements IdleConnection {
  idleSinceMs: number;
  closed = false;
  constructor(idleSinceMs: number) {
    this.idleSinceMs = idleSinceMs;
  }
  closeIdle(): void {
    assert.ok(this.idleSinceMs >= 0, "a busy connection was closed");
    assert.ok(!this.closed);
    this.closed = true;
    this.idleSinceMs = -1;
  }
}

const now = 1_000_000;

const open = (...sorts: (readonly Fake[])[]) => {
  const stats = createStats();
  const closer = new IdleCloser(
    { nowMs: () => now, wallMs: () => 0 },
    sorts.map((fakes, index) => ({
      visit: (each) => {
        for (const fake of fakes) each(fake);
      },
      closed: stats.counter(`${index}`),
    })),
  );
  return { closer, closed: (index: number) => stats.counter(`${index}`).value };
};
const idleFor = (ages: readonly number[]): Fake[] => ages.map((age) => new Fake(now - age));
const closedOf = (fakes: readonly Fake[]): number => fakes.filter(({ closed }) => closed).length;

test("busy connections stay, however many steps there are", () => {
  const busy = Array.from({ length: 10 }, () => new Fake(-1));
  const { closer } = open(busy);
  for (let i = 0; i < 5; i++) closer.close(1);
  assert.equal(closedOf(busy), 0);
});

test("those go first that have been idle for longest, clients and servers alike", () => {
  const young = idleFor(Array.from({ length: 1000 }, (_, i) => i % 20));
  const old = idleFor(Array.from({ length: 50 }, () => 500_000));
  const { closer, closed } = open(young, old);
  closer.close(1);
  assert.equal(closedOf(old), 50);
  assert.equal(closed(1), 50);
  assert.equal(closed(0), Math.ceil(1050 * idleCloseShare) - 50);
  assert.ok(young.every((fake) => !fake.closed || fake.idleSinceMs < 0));
});

test("a step closes a share of them, not fewer than some and not more than many", () => {
  for (const [count, expected] of [
    [10, 10],
    [idleCloseLeast + 1, idleCloseLeast],
    [4000, 4000 * idleCloseShare],
    [40_000, idleCloseMost],
  ] as const) {
    const fakes = idleFor(Array.from({ length: count }, (_, i) => i));
    open(fakes).closer.close(1);
    assert.equal(closedOf(fakes), expected, `${count}`);
  }
});

test("a weaker action closes fewer", () => {
  const fakes = idleFor(Array.from({ length: 4000 }, (_, i) => i));
  open(fakes).closer.close(0.5);
  assert.equal(closedOf(fakes), 250);
});

test("all that were idle are gone after some steps, and further ones do nothing", () => {
  const fakes = idleFor(Array.from({ length: 300 }, (_, i) => i * 1000));
  const { closer, closed } = open(fakes);
  for (let i = 0; i < 10; i++) closer.close(1);
  assert.equal(closedOf(fakes), 300);
  assert.equal(closed(0), 300);
});

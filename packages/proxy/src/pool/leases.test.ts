import assert from "node:assert/strict";
import { test } from "node:test";
import { type Lease, LeaseWatch } from "./leases.ts";
import { quietSweepsMost } from "./limits.ts";

const lease = (held: boolean, bytes = 0): Lease & { held: boolean; bytes: number; reclaimed: number } => ({
  held,
  bytes,
  reclaimed: 0,
  reclaim() {
    this.reclaimed++;
  },
});

test("a lease that nobody holds is taken back and counted, the others are left alone", () => {
  const watch = new LeaseWatch();
  const [lost, kept] = [lease(false), lease(true)];
  assert.deepEqual(watch.sweep([lost, kept]), { lost: 1, quiet: 0 });
  assert.deepEqual([lost.reclaimed, kept.reclaimed], [1, 0]);
});

test("a lease without a byte for an hour is reported once and left alone", () => {
  const watch = new LeaseWatch();
  const quiet = lease(true, 10);
  let reported = 0;
  for (let i = 0; i < 3 * quietSweepsMost; i++) reported += watch.sweep([quiet]).quiet;
  assert.equal(reported, 1);
  assert.equal(quiet.reclaimed, 0);
});

test("a lease that carries a byte now and then is never reported", () => {
  const watch = new LeaseWatch();
  const busy = lease(true);
  for (let i = 0; i < 3 * quietSweepsMost; i++) {
    if (i % (quietSweepsMost - 1) === 0) busy.bytes++;
    assert.equal(watch.sweep([busy]).quiet, 0);
  }
});

test("a lease that was given back and lent again starts anew", () => {
  const watch = new LeaseWatch();
  const one = lease(true, 10);
  for (let i = 0; i < quietSweepsMost; i++) watch.sweep([one]);
  watch.sweep([]);
  assert.equal(watch.sweep([one]).quiet, 0);
});

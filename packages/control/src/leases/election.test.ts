import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seededRandom } from "@weft/core/random";
import fc from "fast-check";
import {
  Election,
  type ElectionInput,
  type ElectionOutput,
  type LeaseRecord,
  leaseTtlMs,
  writeTimeoutMs,
} from "./election.ts";

const at = (ms: number) => ({ nowMs: ms, wallMs: 1_700_000_000_000 + ms });
const candidate = (identity = "a") => new Election({ identity, random: () => 0.5 });
const record = (given: Partial<LeaseRecord> = {}): LeaseRecord => ({
  ...{ holder: "b", ttlMs: leaseTtlMs, transitions: 3, acquireTime: "t", renewTime: "t", resourceVersion: "7" },
  ...given,
});
const written = (output: ElectionOutput | undefined, resourceVersion: string): ElectionInput => {
  assert.ok(output?.kind === "create" || output?.kind === "replace");
  return { kind: "written", lease: { ...output.lease, resourceVersion } };
};
/** A candidate that holds the lease since 0. */
const holder = (): Election => {
  const election = candidate();
  assert.deepEqual(election.handle({ kind: "tick" }, at(0)), { kind: "read" });
  const create = election.handle({ kind: "read", lease: undefined }, at(0));
  assert.equal(create?.kind, "create");
  assert.equal(election.handle(written(create, "1"), at(100)), undefined);
  return election;
};

describe("a lease that nobody has", () => {
  test("is created, and lets write until five seconds before its end, counted from when it was asked for", () => {
    const election = holder();
    assert.equal(election.mayWrite(at(9_999)), true);
    assert.equal(election.mayWrite(at(10_000)), false);
  });
  test("is not held before the answer", () => {
    const election = candidate();
    election.handle({ kind: "tick" }, at(0));
    election.handle({ kind: "read", lease: undefined }, at(0));
    assert.equal(election.mayWrite(at(0)), false);
  });
  test("that was released is taken at once, as one more transition", () => {
    const election = candidate();
    election.handle({ kind: "tick" }, at(0));
    const output = election.handle({ kind: "read", lease: record({ holder: "" }) }, at(0));
    assert.ok(output?.kind === "replace");
    assert.deepEqual([output.resourceVersion, output.lease.holder, output.lease.transitions], ["7", "a", 4]);
  });
});

describe("a lease that another holds", () => {
  test("is waited for as long as it says, from when it was first seen so, whatever its times are", () => {
    const election = candidate();
    const lease = record({ renewTime: "1970-01-01T00:00:00.000000Z" });
    let ms = 1_000;
    election.handle({ kind: "tick" }, at(ms));
    while (election.handle({ kind: "read", lease }, at(ms))?.kind !== "replace") {
      ms = election.deadlineMs() ?? Number.NaN;
      assert.deepEqual(election.handle({ kind: "tick" }, at(ms)), { kind: "read" });
    }
    assert.equal(ms, 16_000);
  });
  test("starts anew with each renewal", () => {
    const election = candidate();
    for (let ms = 0; ms < 300_000; ms = election.deadlineMs() ?? Number.NaN) {
      election.handle({ kind: "tick" }, at(ms));
      const renewTime = String(Math.floor(ms / 5_000));
      assert.equal(election.handle({ kind: "read", lease: record({ renewTime }) }, at(ms)), undefined);
    }
  });
  test("with an absurd time to live is waited for an hour at most", () => {
    const election = candidate();
    const lease = record({ ttlMs: Number.MAX_SAFE_INTEGER });
    election.handle({ kind: "tick" }, at(0));
    assert.equal(election.handle({ kind: "read", lease }, at(0)), undefined);
    election.handle({ kind: "tick" }, at(3_600_000));
    assert.equal(election.handle({ kind: "read", lease }, at(3_600_000))?.kind, "replace");
  });
});

describe("who holds the lease", () => {
  test("renews at a third of its time, with the version it knows", () => {
    const election = holder();
    assert.equal(election.deadlineMs(), 5_000);
    const renewal = election.handle({ kind: "tick" }, at(5_000));
    assert.ok(renewal?.kind === "replace");
    assert.equal(renewal.resourceVersion, "1");
    election.handle(written(renewal, "2"), at(5_100));
    assert.equal(election.mayWrite(at(14_999)), true);
  });
  test("tries again every two seconds, and stops writing when no answer comes", () => {
    const election = holder();
    for (const ms of [5_000, 7_000]) {
      assert.equal(election.handle({ kind: "tick" }, at(ms))?.kind, "replace");
      election.handle({ kind: "failed" }, at(ms));
      assert.equal(election.deadlineMs(), ms + 2_000);
    }
    election.handle({ kind: "tick" }, at(9_000));
    assert.equal(election.deadlineMs(), 10_000);
    assert.equal(election.mayWrite(at(10_000)), false);
  });
  test("stops at once when a reading shows another", () => {
    const election = holder();
    election.handle({ kind: "tick" }, at(5_000));
    assert.deepEqual(election.handle({ kind: "conflict" }, at(5_000)), { kind: "read" });
    assert.equal(election.handle({ kind: "read", lease: record() }, at(5_000)), undefined);
    assert.equal(election.mayWrite(at(5_000)), false);
  });
  test("that slept, as only its wall clock shows, writes nothing before it has renewed", () => {
    const election = holder();
    assert.equal(election.mayWrite({ nowMs: 200, wallMs: at(60_000).wallMs }), false);
    assert.equal(election.mayWrite({ nowMs: 60_000, wallMs: at(0).wallMs }), false);
    assert.equal(election.mayWrite({ nowMs: 9_000, wallMs: at(-5_000_000).wallMs }), true);
  });
  test("renews with a later time each time, also when its clock stands still", () => {
    const election = holder();
    const still = (ms: number) => ({ nowMs: ms, wallMs: at(0).wallMs });
    const first = election.handle({ kind: "tick" }, still(5_000));
    election.handle(written(first, "2"), still(5_000));
    const second = election.handle({ kind: "tick" }, still(10_000));
    assert.ok(first?.kind === "replace" && second?.kind === "replace");
    assert.ok(second.lease.renewTime > first.lease.renewTime);
    assert.equal(second.lease.acquireTime, "2023-11-14T22:13:20.000000Z");
  });
});

describe("a stop", () => {
  test("ends writing at once, and empties the lease", () => {
    const election = holder();
    const output = election.handle({ kind: "stop" }, at(200));
    assert.ok(output?.kind === "replace");
    assert.deepEqual([output.lease.holder, output.resourceVersion], ["", "1"]);
    assert.equal(election.mayWrite(at(200)), false);
    assert.deepEqual(election.handle({ kind: "failed" }, at(300)), { kind: "released" });
    assert.equal(election.deadlineMs(), undefined);
    assert.equal(election.handle({ kind: "tick" }, at(400)), undefined);
  });
  test("waits for a renewal on its way, which would else bring the lease back", () => {
    const election = holder();
    const renewal = election.handle({ kind: "tick" }, at(5_000));
    assert.equal(election.handle({ kind: "stop" }, at(5_010)), undefined);
    const output = election.handle(written(renewal, "2"), at(5_020));
    assert.ok(output?.kind === "replace");
    assert.deepEqual([output.lease.holder, output.resourceVersion], ["", "2"]);
    assert.equal(election.mayWrite(at(5_020)), false);
  });
  test("of one that never held it writes nothing", () => {
    assert.deepEqual(candidate().handle({ kind: "stop" }, at(0)), { kind: "released" });
  });
});

interface Call {
  readonly output: ElectionOutput;
  readonly arrivesMs: number;
  readonly answersMs: number;
  readonly by: One;
  answer: ElectionInput | undefined;
}
interface One {
  election: Election;
  readonly id: string;
  readonly offsetMs: number;
  wallMs: number;
  stalledTo: number;
  /** Nothing it sends arrives before. */
  cutTo: number;
  /** Last moment at which it would have begun a write. */
  wroteMs: number;
  released: boolean;
  /** The call whose answer it waits for. */
  call: Call | undefined;
}

/** An API server with one Lease, and candidates whose clocks, answers and lives are as bad as the seed says. */
const simulate = (seed: number, faults: boolean): void => {
  const random = seededRandom(seed);
  const between = (low: number, high: number): number => low + Math.floor(random() * (high - low));
  const endMs = 600_000;
  const calmMs = faults ? 400_000 : 0;
  const network = new Set<Call>();
  let stored: LeaseRecord | undefined;
  let version = 0;
  let outage = false;
  const ones: One[] = ["a", "b", "c"].map((id) => ({
    ...{ election: new Election({ identity: id, random }), id, offsetMs: between(0, 1e9), wallMs: between(0, 1e12) },
    ...{ stalledTo: 0, cutTo: 0, wroteMs: Number.NEGATIVE_INFINITY, released: false, call: undefined },
  }));
  const slow = (ms: number): boolean => ms < calmMs && random() < 0.1;
  const instant = (one: One, ms: number) => ({ nowMs: ms + one.offsetMs, wallMs: one.wallMs + ms });
  const store = (output: ElectionOutput): ElectionInput => {
    if (output.kind === "read") return { kind: "read", lease: stored };
    assert.ok(output.kind !== "released");
    const isCurrent = output.kind === "create" ? !stored : stored?.resourceVersion === output.resourceVersion;
    if (!isCurrent) return { kind: "conflict" };
    stored = { ...output.lease, resourceVersion: String(++version) };
    return { kind: "written", lease: stored };
  };
  /** Calls reach the server in any order, also long after their senders gave them up. */
  const arrive = (ms: number): void => {
    for (const call of network) {
      if (call.arrivesMs > ms) continue;
      network.delete(call);
      const before = stored?.holder ?? "";
      call.answer = outage || call.by.cutTo > ms ? { kind: "failed" } : store(call.output);
      const after = stored?.holder ?? "";
      if (after === before || after === "") continue;
      for (const { id, wroteMs, released } of ones) {
        if (id === after || released || wroteMs + writeTimeoutMs <= ms) continue;
        assert.fail(`seed ${seed}: ${id} may write at ${wroteMs}, ${after} took over at ${ms}`);
      }
    }
  };
  const perform = (one: One, input: ElectionInput, ms: number): void => {
    const output = one.election.handle(input, instant(one, ms));
    if (!output) return;
    if (output.kind === "released") {
      one.released = true;
      return;
    }
    const arrivesMs = ms + between(0, slow(ms) ? 8_000 : 20);
    const answersMs = arrivesMs + between(0, slow(ms) ? 3_000 : 20);
    one.call = { output, by: one, arrivesMs, answersMs, answer: undefined };
    network.add(one.call);
  };
  const act = (one: One, ms: number, lossy: boolean): void => {
    const { call } = one;
    if (call?.answer && call.answersMs <= ms) {
      one.call = undefined;
      perform(one, lossy && random() < 0.1 ? { kind: "failed" } : call.answer, ms);
    } else if (call && call.arrivesMs + writeTimeoutMs <= ms) {
      one.call = undefined;
      perform(one, { kind: "failed" }, ms);
    }
    const deadline = one.election.deadlineMs();
    if (deadline !== undefined && deadline <= ms + one.offsetMs) perform(one, { kind: "tick" }, ms);
    if (one.election.mayWrite(instant(one, ms))) one.wroteMs = ms;
  };
  for (let ms = 0; ms < endMs; ms += 50) {
    const bad = ms < calmMs;
    outage = bad && (random() < 0.002 ? !outage : outage);
    arrive(ms);
    for (const one of ones) {
      if (bad && random() < 0.0005) one.stalledTo = ms + between(0, 60_000);
      if (bad && random() < 0.0005) one.cutTo = ms + between(0, 90_000);
      if (bad && random() < 0.001) one.wallMs += between(-100_000, 100_000);
      if (bad && random() < 0.0003) {
        // Whoever is told to stop has ended its writes.
        one.wroteMs = Number.NEGATIVE_INFINITY;
        perform(one, { kind: "stop" }, ms);
      }
      if (one.stalledTo > ms) continue;
      if (one.released && random() < 0.01) {
        one.election = new Election({ identity: `${one.id}${ms}`, random });
        Object.assign(one, { id: `${one.id}${ms}`, released: false, wroteMs: Number.NEGATIVE_INFINITY });
      }
      act(one, ms, bad);
    }
    const writers = ones.filter((one) => one.election.mayWrite(instant(one, ms)));
    assert.ok(writers.length <= 1, `seed ${seed}: ${writers.map(({ id }) => id)} write at ${ms}`);
  }
  const writes = ones.some((one) => one.election.mayWrite(instant(one, endMs)));
  assert.ok(writes, `seed ${seed}: nobody writes in the end`);
};

describe("three candidates", () => {
  test("never write at the same time, and one does again, whatever clocks, answers and processes do", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => simulate(seed, true)),
      { numRuns: 60 },
    );
  });
  test("one writes within a second on a good day", () => simulate(1, false));
});

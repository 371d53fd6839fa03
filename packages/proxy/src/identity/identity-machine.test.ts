import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type IdentityInput, IdentityMachine, type IdentityOutput } from "./identity-machine.ts";
import type { StoredIdentity } from "./identity-material.ts";
import { createTestCa, testIdentity } from "./testing/test-ca.ts";

const start = Date.parse("2026-01-01T00:00:00Z");
const minute = 60_000;
const hour = 60 * minute;
const ca = createTestCa(start);
const life = (fromMs: number, hours = 24): StoredIdentity =>
  ca.issue({ notBeforeMs: fromMs, notAfterMs: fromMs + hours * hour });

/** A machine with what it does written down as words. */
const drive = (random = 0.5) => {
  const machine = new IdentityMachine({ identity: testIdentity, random: () => random });
  const show = (output: IdentityOutput): string => {
    if (output.kind === "log") return `${output.level} ${output.message.slice(0, 6)}`;
    return output.kind === "request" ? `request ${output.attempt}` : output.kind;
  };
  let last: readonly IdentityOutput[] = [];
  return {
    machine,
    at: (nowMs: number, input: IdentityInput = { kind: "tick" }): readonly string[] => {
      last = machine.handle(input, nowMs);
      return last.map(show);
    },
    /** The message of the last log line. */
    said: (): string => last.flatMap((output) => (output.kind === "log" ? [output.message] : [])).at(-1) ?? "",
  };
};
const none: IdentityInput = { kind: "loaded", stored: undefined };
const failed = (attempt: number): IdentityInput => ({ kind: "failed", attempt, reason: "no route" });

test("without anything stored a certificate is asked for at once, used and stored", () => {
  const { machine, at } = drive();
  assert.deepEqual(at(start, none), ["request 1"]);
  assert.deepEqual(at(start + 5, { kind: "issued", attempt: 1, answer: life(start) }), ["use", "store", "info certif"]);
  assert.equal(machine.material?.notAfterMs, start + 24 * hour);
});

test("renewal is due at half of the life left, give or take a tenth", () => {
  for (const [random, share] of [
    [0, 0.45],
    [0.5, 0.5],
    [0.999999, 0.55],
  ] as const) {
    const { machine, at } = drive(random);
    at(start, none);
    at(start, { kind: "issued", attempt: 1, answer: life(start) });
    const dueMs = machine.deadlineMs() ?? 0;
    assert.ok(Math.abs(dueMs - (start + 24 * hour * share)) < 1000, `${random}`);
    assert.deepEqual(at(dueMs - 1), []);
    assert.deepEqual(at(dueMs), ["request 2"]);
  }
});

test("a stored certificate is used at once and renewed at its own half-life", () => {
  const { machine, at } = drive();
  assert.deepEqual(at(start + hour, { kind: "loaded", stored: life(start) }), ["use"]);
  assert.equal(machine.deadlineMs(), start + 12 * hour);
});

test("a stored certificate past its half is used and renewed at once", () => {
  const { at } = drive();
  assert.deepEqual(at(start + 13 * hour, { kind: "loaded", stored: life(start) }), ["use", "request 1"]);
});

test("stored material that is expired or does not fit is not used", () => {
  const { at } = drive();
  assert.deepEqual(at(start + 25 * hour, { kind: "loaded", stored: life(start) }), ["warn WF7002", "request 1"]);
  const broken = { keyPem: "", chain: [] };
  assert.deepEqual(drive().at(start, { kind: "loaded", stored: broken }), ["warn WF7003", "request 1"]);
});

test("a failure keeps what there is and backs off, longer each time and bounded", () => {
  const { machine, at } = drive(1);
  let nowMs = start;
  at(nowMs, none);
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 10; attempt++) {
    at(nowMs, failed(attempt));
    const dueMs = machine.deadlineMs() ?? 0;
    waits.push(dueMs - nowMs);
    nowMs = dueMs;
    assert.deepEqual(at(nowMs), [`request ${attempt + 1}`]);
  }
  assert.deepEqual(
    waits,
    [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map((seconds) => seconds * 1000),
  );
});

test("an answer that never comes is a failure after half a minute, and is ignored when it comes at last", () => {
  const { machine, at, said } = drive();
  at(start, none);
  assert.equal(machine.deadlineMs(), start + 30_000);
  assert.deepEqual(at(start + 30_000), ["warn WF7001"]);
  assert.match(said(), /did not answer within 30 s/);
  assert.deepEqual(at(start + 31_000, { kind: "issued", attempt: 1, answer: life(start) }), []);
});

test("answers that cannot be used are failures and replace nothing", () => {
  const good = life(start);
  const bad: readonly StoredIdentity[] = [
    { ...good, chain: [] },
    ca.issue({ notBeforeMs: start - 2 * hour, notAfterMs: start - hour }),
    ca.issue({ notBeforeMs: start + hour, notAfterMs: start + 2 * hour }),
    ca.issue({ uri: "spiffe://cluster.local/ns/shop/sa/other", notBeforeMs: start, notAfterMs: start + hour }),
  ];
  for (const answer of bad) {
    const { machine, at, said } = drive();
    at(start, none);
    assert.deepEqual(at(start, { kind: "issued", attempt: 1, answer }), ["warn WF7001"]);
    assert.match(said(), /WF7004/);
    assert.equal(machine.material, undefined);
  }
});

test("failed renewals are told quietly at first, loudly when the end is near, and as an error at the end", () => {
  const { machine, at, said } = drive();
  at(start, { kind: "loaded", stored: life(start) });
  assert.deepEqual(at(start + 12 * hour), ["request 1"]);
  assert.deepEqual(at(start + 12 * hour, failed(1)), ["info WF7002"]);
  at(start + 23 * hour);
  assert.deepEqual(at(start + 23 * hour + 22 * minute, failed(2)), ["warn WF7002"]);
  assert.match(said(), /expires in 38 min and the last 2 renewals failed: no route/);
  assert.deepEqual(at(start + 24 * hour), ["error WF7002", "request 3"]);
  assert.ok(machine.material, "the last good one is kept");
  assert.deepEqual(at(start + 24 * hour + 1, failed(3)), ["warn WF7002"]);
  assert.match(said(), /has expired and the last 3 renewals failed/);
  const answer = life(start + 25 * hour);
  at(start + 25 * hour);
  assert.deepEqual(at(start + 25 * hour, { kind: "issued", attempt: 4, answer }), ["use", "store", "info certif"]);
  assert.equal(machine.material?.notAfterMs, start + 49 * hour);
});

test("whatever happens, there is always one next thing to do, and never two requests at once", () => {
  const input = fc.record({
    kind: fc.constantFrom("tick", "issued", "failed", "late"),
    waitMs: fc.oneof(fc.nat(hour), fc.nat(30 * hour)),
  });
  const answers = new Map<number, StoredIdentity>();
  fc.assert(
    fc.property(fc.array(input, { maxLength: 25 }), (inputs) => {
      const { machine, at } = drive(0.3);
      let nowMs = start;
      let pending = false;
      let askedAtMs = 0;
      let attempt = 0;
      const note = (outputs: readonly string[]): void => {
        const requests = outputs.filter((output) => output.startsWith("request"));
        if (requests.length > 0) attempt = Number(requests[0]?.slice(8));
        assert.ok(requests.length <= 1);
        assert.ok(requests.length === 0 || !pending, "a request while one is under way");
        if (requests.length > 0) [pending, askedAtMs] = [true, nowMs];
        assert.notEqual(machine.deadlineMs(), undefined);
      };
      note(at(nowMs, none));
      for (const { kind, waitMs } of inputs) {
        nowMs += waitMs;
        // An answer of the attempt or its time-out ends it.
        if (kind === "issued" || kind === "failed" || nowMs >= askedAtMs + 30_000) pending = false;
        const day = Math.floor((nowMs - start) / (24 * hour));
        const answer = answers.get(day) ?? life(start + day * 24 * hour, 48);
        answers.set(day, answer);
        if (kind === "issued") note(at(nowMs, { kind, attempt, answer }));
        else if (kind === "failed") note(at(nowMs, { kind, attempt, reason: "x" }));
        else if (kind === "late") note(at(nowMs, { kind: "issued", attempt: attempt - 1, answer }));
        else note(at(nowMs));
      }
    }),
    { numRuns: 60 },
  );
});

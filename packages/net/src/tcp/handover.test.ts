import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Handover, type HandoverEvent, offered, stepHandover } from "./handover.ts";

const readyMs = 60_000;
const run = (events: readonly (readonly [event: HandoverEvent, atMs: number])[], from: Handover = offered) => {
  let state = from;
  const effects: string[] = [];
  for (const [event, atMs] of events) {
    const step = stepHandover(state, event, atMs, readyMs);
    state = step.state;
    effects.push("reason" in step.effect ? `${step.effect.kind}: ${step.effect.reason}` : step.effect.kind);
  }
  return { state: state.kind, effects };
};
const ask: HandoverEvent = { kind: "ask" };
const yes: HandoverEvent = { kind: "answer", ours: true };
const gone: HandoverEvent = { kind: "gone" };
const time: HandoverEvent = { kind: "time" };
const withdraw: HandoverEvent = { kind: "withdraw" };

test("who asks and confirms in time has the sockets, and its leaving then changes nothing", () => {
  assert.deepEqual(
    run([
      [ask, 0],
      [yes, readyMs - 1],
      [gone, readyMs],
    ]),
    {
      state: "confirmed",
      effects: ["send", "handOver", "none"],
    },
  );
});

test("who asks and dies is given up, and the next may ask", () => {
  const { state, effects } = run([
    [ask, 0],
    [gone, 5],
    [ask, 6],
    [yes, 7],
  ]);
  assert.equal(state, "confirmed");
  assert.match(effects[1] ?? "", /^giveUp: .*went without taking/);
});

test("who is not ready in time is given up, even when its answer comes a moment later", () => {
  assert.deepEqual(
    run([
      [ask, 100],
      [time, 100 + readyMs - 1],
    ]).state,
    "taken",
  );
  const late = run([
    [ask, 100],
    [time, 100 + readyMs],
    [yes, 100 + readyMs],
  ]);
  assert.equal(late.state, "offered");
  assert.match(late.effects[1] ?? "", /not ready within 60 s/);
  assert.equal(late.effects[2], "none");
  // The timer may be late; the answer must not win by that.
  assert.equal(
    run([
      [ask, 100],
      [yes, 100 + readyMs],
    ]).state,
    "offered",
  );
});

test("a second one that asks is refused and the first is not disturbed", () => {
  const { state, effects } = run([
    [ask, 0],
    [ask, 1],
    [yes, 2],
    [ask, 3],
  ]);
  assert.equal(state, "confirmed");
  assert.deepEqual(
    effects.map((effect) => effect.split(":")[0]),
    ["send", "refuse", "handOver", "refuse"],
  );
});

test("an answer that is not ours, and sockets that could not be sent, leave the offer standing", () => {
  assert.equal(
    run([
      [ask, 0],
      [{ kind: "answer", ours: false }, 1],
    ]).state,
    "offered",
  );
  const unsent = run([
    [ask, 0],
    [{ kind: "unsent", reason: "user 7 is not ours" }, 0],
  ]);
  assert.deepEqual(unsent, { state: "offered", effects: ["send", "giveUp: user 7 is not ours"] });
});

test("what is withdrawn is not handed over, and what is handed over cannot be withdrawn", () => {
  assert.deepEqual(
    run([
      [ask, 0],
      [withdraw, 1],
      [yes, 2],
      [ask, 3],
    ]).state,
    "withdrawn",
  );
  assert.deepEqual(
    run([
      [ask, 0],
      [yes, 1],
      [withdraw, 2],
    ]),
    {
      state: "confirmed",
      effects: ["send", "handOver", "none"],
    },
  );
});

test("whatever happens, sockets are handed over once at most, and only to who was sent them and answered in time", () => {
  const event: fc.Arbitrary<HandoverEvent> = fc.oneof(
    fc.constant(ask),
    fc.constant(yes),
    fc.constant(gone),
    fc.constant(time),
    fc.constant(withdraw),
    fc.constant<HandoverEvent>({ kind: "answer", ours: false }),
    fc.constant<HandoverEvent>({ kind: "unsent", reason: "x" }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(event, fc.nat(40_000))), (events) => {
      let state: Handover = offered;
      let nowMs = 0;
      let handedOver = 0;
      let sentAtMs: number | undefined;
      for (const [each, afterMs] of events) {
        nowMs += afterMs;
        const step = stepHandover(state, each, nowMs, readyMs);
        state = step.state;
        if (step.effect.kind === "send") sentAtMs = nowMs;
        if (step.effect.kind === "giveUp" || step.effect.kind === "stop") sentAtMs = undefined;
        if (step.effect.kind !== "handOver") continue;
        handedOver++;
        assert.ok(sentAtMs !== undefined && nowMs - sentAtMs < readyMs);
      }
      assert.ok(handedOver <= 1);
      assert.equal(handedOver === 1, state.kind === "confirmed");
    }),
  );
});

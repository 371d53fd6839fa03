/** The wall clock is shown to people and decides nothing: who is in force, and for how long, is measured on the other one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "@weft/core/world";
import fc from "fast-check";
import { createEmbeddedRegistry } from "../embedded/registry.ts";
import { memoryStore } from "../embedded/store.ts";
import { createHeldInstances, holdMs } from "./held-instances.ts";
import { parseLastGood, printLastGood } from "./last-good.ts";
import { testInstance } from "./testing/instance.ts";

const hourMs = 3_600_000;
const ids = ["a", "b", "c", "d"];
const id = fc.constantFrom(...ids);
const step = fc.oneof(
  fc.record({ kind: fc.constant("put" as const), id }),
  fc.record({
    kind: fc.constant("removed" as const),
    id,
    because: fc.constantFrom("deleted" as const, "expired" as const),
  }),
  fc.record({ kind: fc.constant("listed" as const), ids: fc.subarray(ids) }),
  fc.record({ kind: fc.constantFrom("lost" as const, "connected" as const, "restart" as const) }),
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: holdMs }) }),
);
const jumps = fc.array(fc.integer({ min: -12 * hourMs, max: 12 * hourMs }), { minLength: 40, maxLength: 40 });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What is in force after each step, on a wall clock that jumps so much at each. */
const run = (steps: readonly Step[], jumpsMs: readonly number[]): readonly string[] => {
  let nowMs = 1_000;
  let wallMs = 1_700_000_000_000;
  let held = createHeldInstances(nowMs);
  return steps.map((one, at) => {
    wallMs += jumpsMs[at] ?? 0;
    if (one.kind === "pass") {
      nowMs += one.ms;
      wallMs += one.ms;
      held.tick(nowMs);
    } else if (one.kind === "restart") {
      const text = printLastGood("r", held.kept(nowMs), wallMs);
      nowMs = 50;
      wallMs += jumpsMs[at + 1] ?? 0;
      const found = parseLastGood(text, "r", wallMs);
      assert.equal(found.kind, "read");
      held = createHeldInstances(nowMs, found.kind === "read" ? found.restored : undefined);
      assert.ok(held.status(nowMs).ageMs >= 0);
    } else if (one.kind === "put") held.apply({ kind: "put", instance: testInstance(one.id) }, nowMs);
    else if (one.kind === "removed") {
      held.apply({ kind: "removed", key: testInstance(one.id).key, because: one.because }, nowMs);
    } else if (one.kind === "listed") {
      held.apply({ kind: "listed", instances: one.ids.map((each) => testInstance(each)) }, nowMs);
    } else held.apply(one.kind === "lost" ? { kind: "lost", reason: "cut" } : { kind: "connected" }, nowMs);
    const inForce = [...held.values()].map(({ key, held: why }) => `${key} ${why ?? ""}`).sort();
    return `${inForce.join()} until ${held.deadlineMs(nowMs)}`;
  });
};

test("holds, expiries and flaps take as long as ever while the wall clock jumps by hours, also over restarts", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), jumps, (steps, jumpsMs) => {
      assert.deepEqual(run(steps, jumpsMs), run(steps, []));
    }),
  );
});

test("an instance that registered itself lives as long as it said, whatever the wall clock says", () => {
  let nowMs = 0;
  let wallMs = 1_700_000_000_000;
  const clock: Clock = { nowMs: () => nowMs, wallMs: () => wallMs };
  const entries = new Map<string, string>();
  const registry = createEmbeddedRegistry({ store: memoryStore(entries), clock });
  const ref = { namespace: "default", service: "web", id: "a" };
  registry.put(ref, { address: "10.0.0.1", port: 80, ttlSeconds: 30 });
  for (const jumpMs of [6 * hourMs, -12 * hourMs, 48 * hourMs]) {
    wallMs += jumpMs;
    nowMs += 9_000;
    assert.deepEqual(registry.tick(), []);
  }
  assert.equal(registry.deadlineMs(), 30_000);
  nowMs = 29_999;
  assert.deepEqual(registry.tick(), []);
  // After a restart, whose clock began anew, it has its whole time once more: that is the bound.
  nowMs = 5;
  wallMs -= 100 * hourMs;
  const again = createEmbeddedRegistry({ store: memoryStore(entries), clock });
  assert.equal(again.deadlineMs(), 30_005);
  nowMs = 30_005;
  assert.equal(again.tick().length, 1);
});

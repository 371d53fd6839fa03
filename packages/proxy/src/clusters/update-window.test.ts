import assert from "node:assert/strict";
import { test } from "node:test";
import type { LbEndpointJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint_components";
import { createStats } from "../observe/create-stats.ts";
import { differs } from "./assignment-change.ts";
import { type Assignment, compileAssignment } from "./endpoints.ts";
import { assignment, endpoint } from "./testing/fixtures.ts";
import { createUpdateWindow, updateCounters } from "./update-window.ts";

const open = (windowMs: number) => {
  const stats = createStats();
  const counted = (): readonly number[] =>
    ["cluster_updated", "cluster_updated_via_merge", "update_merge_cancelled", "update_out_of_merge_window"].map(
      (name) => stats.counter(`cluster_manager.${name}`).value,
    );
  return { window: createUpdateWindow(windowMs, updateCounters(stats)), counted };
};

test("a change long after the last one is minded at once, the next ones wait for one end", () => {
  const { window, counted } = open(1000);
  assert.deepEqual([5000, 5400, 5700].map(window.health), [true, false, false]);
  assert.equal(window.deadlineMs(), 6400, "the window begins with the first that waits");
  assert.deepEqual([6399, 6400, 9000].map(window.due), [false, true, false]);
  assert.equal(window.deadlineMs(), Number.POSITIVE_INFINITY);
  assert.deepEqual(counted(), [1, 1, 0, 1]);
});

test("what was merged begins a window too", () => {
  const { window } = open(1000);
  for (const at of [5000, 5500]) window.health(at);
  window.due(6500);
  assert.equal(window.health(7500), false);
});

test("what waits is overtaken by a change that comes when the last update is a window ago", () => {
  const { window, counted } = open(1000);
  assert.deepEqual([5000, 5900, 6001].map(window.health), [true, false, true]);
  assert.equal(window.due(60_000), false);
  assert.deepEqual(counted(), [2, 0, 1, 2]);
});

test("hosts that come by name end the wait, an assignment does not", () => {
  const { window, counted } = open(1000);
  for (const at of [5000, 5100]) window.health(at);
  window.assigned();
  assert.deepEqual([window.deadlineMs(), counted()], [6100, [2, 0, 0, 1]]);
  window.members(5200);
  assert.deepEqual([window.due(60_000), counted()], [false, [3, 0, 1, 1]]);
  assert.equal(window.health(6200), false, "and begin one");
});

test("a window of 0 lets nothing wait, and none was open", () => {
  const { window, counted } = open(0);
  assert.deepEqual([1, 1, 2].map(window.health), [true, true, true]);
  assert.deepEqual(counted(), [3, 0, 0, 0]);
});

test("assignments differ by what they say, not by its order or how long it holds", () => {
  const of = (...endpoints: LbEndpointJson[]): Assignment => compileAssignment(assignment(...endpoints), "");
  const plain = of(endpoint("10.0.0.1"), endpoint("10.0.0.2"));
  const second = endpoint("10.0.0.2");
  const policy = (json: object): Assignment =>
    compileAssignment({ ...assignment(endpoint("10.0.0.1"), second), policy: json }, "");
  for (const [what, other] of [
    ["one less", of(second)],
    ["another", of(endpoint("10.0.0.3"), second)],
    ["health", of(endpoint("10.0.0.1", { healthStatus: "UNHEALTHY" }), second)],
    ["weight", of(endpoint("10.0.0.1", { loadBalancingWeight: 2 }), second)],
    ["metadata", of(endpoint("10.0.0.1", { metadata: { filterMetadata: { a: { v: 1 } } } }), second)],
    ["policy", policy({ overprovisioningFactor: 200 })],
  ] as const) {
    assert.equal(differs(plain, other), true, what);
  }
  assert.equal(differs(plain, of(second, endpoint("10.0.0.1"))), false);
  assert.equal(differs(plain, policy({ endpointStaleAfter: "3s" })), false);
});

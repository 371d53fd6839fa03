import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { countChanges } from "./count-changes.ts";
import { createStats } from "./create-stats.ts";

const put = (kind: "cluster" | "listener", name: string): ResourceChange => ({ kind, name, json: { name } });
const gone = (kind: "cluster" | "listener", name: string): ResourceChange => ({ kind, name, json: undefined });

test("changes are counted as they take effect, and refused ones not at all", () => {
  const stats = createStats();
  const refusing = new Set<string>();
  const plane = countChanges(
    {
      check: () => undefined,
      apply: (changes) =>
        changes.flatMap(({ kind, name }) => (refusing.has(name) ? [{ kind, name, reason: "no" }] : [])),
    },
    stats,
  );
  plane.apply([put("cluster", "a"), put("cluster", "b"), put("listener", "l")]);
  refusing.add("c");
  assert.equal(plane.apply([put("cluster", "a"), put("cluster", "c"), gone("cluster", "b")]).length, 1);
  plane.apply([gone("cluster", "never")]);
  const value = (name: string): number => stats.counter(name).value;
  assert.deepEqual(
    ["added", "modified", "removed"].map((what) => value(`cluster_manager.cluster_${what}`)),
    [2, 1, 1],
  );
  assert.deepEqual(
    ["added", "modified", "removed"].map((what) => value(`listener_manager.listener_${what}`)),
    [1, 0, 0],
  );
  assert.equal(value("listener_manager.listener_create_success"), 1);
});

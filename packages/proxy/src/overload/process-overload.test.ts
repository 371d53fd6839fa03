import assert from "node:assert/strict";
import { test } from "node:test";
import { runtimeBytes } from "./limits.ts";
import { memoryResource } from "./overload-settings.ts";
import { overloadShare } from "./process-overload.ts";

const mib = 1024 * 1024;

test("one thread has all that the runtime leaves of the limit", () => {
  assert.equal(overloadShare(undefined, 256 * mib, 1).memoryLimitBytes, 256 * mib - runtimeBytes);
});

test("several share it with the main thread, and the connections with each other", () => {
  const configured = {
    refreshMs: 250,
    resources: [{ kind: "memory", name: memoryResource, limitBytes: 100 * mib }],
    triggers: new Map(),
    connectionsMax: 9,
  } as const;
  const share = overloadShare(configured, 364 * mib, 2);
  assert.equal(share.memoryLimitBytes, 100 * mib);
  assert.equal(share.settings.connectionsMax, 4);
  assert.equal(share.settings.refreshMs, 250);
  const [memory] = share.settings.resources;
  assert.equal(memory?.kind === "memory" && memory.limitBytes, 50 * mib);
});

test("a limit below what the runtime takes leaves next to nothing, not less", () => {
  assert.equal(overloadShare(undefined, mib, 1).memoryLimitBytes, 1);
});

test("a share crosses to a worker as it is", () => {
  const share = overloadShare(undefined, 256 * mib, 2);
  assert.deepEqual(structuredClone(share), share);
});

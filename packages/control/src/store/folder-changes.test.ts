import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { folderChanges } from "./folder-changes.ts";

const log = { level: "off", error() {}, warn() {}, info() {}, debug() {}, trace() {} } as const;

test("changes to objects with the longest names are kept, apart from each other, and removed", () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-changes-"));
  try {
    const changes = folderChanges(folder, log);
    const keys = ["a", "b"].map((end) => `AuthorizationPolicy/${"n".repeat(63)}/${"x".repeat(252)}${end}`);
    for (const [order, key] of keys.entries()) changes.save({ key, text: "{}", over: "", order });
    assert.deepEqual(
      changes
        .load()
        .map(({ key }) => key)
        .sort(),
      keys,
    );
    changes.remove(keys[0] ?? "");
    assert.deepEqual(
      changes.load().map(({ key }) => key),
      keys.slice(1),
    );
    changes.save({ key: "VirtualService/default/../../x", text: undefined, over: "", order: 0 });
    assert.equal(readdirSync(folder).length, 2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

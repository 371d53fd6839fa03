import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nodeFlagsOf, otherNodeFlags } from "@weft/net/process/node-flags";
import { makePrivateFolder } from "@weft/net/process/private-folder";

test("the launcher runs each command with the flags of Node that it runs with elsewhere", () => {
  using folder = makePrivateFolder("weft-launcher-");
  copyFileSync(join(import.meta.dirname, "../weft"), join(folder.path, "weft"));
  mkdirSync(join(folder.path, "scripts"));
  writeFileSync(join(folder.path, "scripts/with-node"), 'printf %s "$WEFT_NODE_FLAGS"');
  const launched = (...args: readonly string[]): readonly string[] =>
    execFileSync("sh", [join(folder.path, "weft"), ...args], {
      encoding: "utf8",
      env: { ...process.env, WEFT_NODE_FLAGS: "" },
    })
      .split(" ")
      .filter((flag) => flag !== "");
  for (const command of ["cp", "sidecar", "agent", "pod", "get", undefined]) {
    // What all have is said once, in what it hands over to.
    const own = nodeFlagsOf(command).filter((flag) => !otherNodeFlags.includes(flag));
    assert.deepEqual(launched(...(command ? [command] : [])), own, command ?? "none");
  }
});

/**
 * Runs the tests and says what it ran. `unit`: everything beside the code, no network beyond loopback.
 * `system`: e2e/, against real Envoy, nginx and iptables, which it installs where they are missing.
 * Further arguments narrow the run to the files whose path contains one of them.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const [suite = "unit", ...words] = process.argv.slice(2);
const patterns = {
  unit: ["packages/*/src/**/*.test.ts", "scripts/*.test.ts"],
  system: ["e2e/**/*.test.ts"],
} as const;
if (suite !== "unit" && suite !== "system") {
  process.stderr.write(`WF9010 unknown suite "${suite}"; there are: unit, system\n`);
  process.exit(2);
}

const files = patterns[suite]
  .flatMap((pattern) => globSync(pattern, { cwd: root }))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`WF9011 no test file matches ${words.join(", ") || suite}\n`);
  process.exit(1);
}

if (suite === "system") {
  const { installPeers } = await import("../e2e/install-peers.ts");
  installPeers();
}

process.stdout.write(`weft: ${suite} tests, ${files.length} files\n`);
const parallel = suite === "system" ? 1 : availableParallelism();
const { status, signal } = spawnSync(
  process.execPath,
  [
    "--disable-warning=ExperimentalWarning",
    "--test",
    `--test-concurrency=${parallel}`,
    "--test-reporter=dot",
    "--test-reporter-destination=stdout",
    "--test-reporter=./scripts/summary-reporter.ts",
    "--test-reporter-destination=stdout",
    ...files,
  ],
  { cwd: root, stdio: "inherit" },
);
if (signal) process.stderr.write(`WF9012 the tests were ended by ${signal}\n`);
process.exit(status ?? 1);

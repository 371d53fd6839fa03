/**
 * Runs the tests and says what it ran. `unit`: everything beside the code, no network beyond loopback.
 * `system`: e2e/, against real Envoy, nginx and iptables, which it installs where they are missing.
 * Further arguments narrow the run to the files whose path contains one of them.
 */
import { spawn, spawnSync } from "node:child_process";
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

/** Gives the exit status. */
const run = (some: readonly string[]): number => {
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
      ...some,
    ],
    { cwd: root, stdio: "inherit" },
  );
  if (signal) process.stderr.write(`WF9012 the tests were ended by ${signal}\n`);
  return status ?? 1;
};

/** Programs that are built from source where they are missing; of those that fail the tests that need them tell. */
const startBuilds = (): Promise<unknown> => {
  const builds = globSync("e2e/peers/*.ts", { cwd: root }).sort();
  const each = builds.map((file) => `nice -n 5 "${process.execPath}" "${join(root, file)}" >&2`);
  const child = spawn("sh", ["-c", each.join("; ")], { stdio: "inherit" });
  return new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
};

// On a new machine the builds take as long as the soak, which asks for no time of its own: they go on beside it.
const soak = files.filter((file) => file.endsWith("soak.test.ts"));
if (suite === "system" && words.length === 0 && soak.length > 0) {
  const built = startBuilds();
  const first = run(soak);
  await built;
  const second = run(files.filter((file) => !soak.includes(file)));
  process.exit(first || second);
}
process.exit(run(files));

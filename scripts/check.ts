/** `npm run check`: types, lint and format, then the unit tests (tidy.test.ts among them). Stops at the first that fails. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = (name: string): string => join(root, "node_modules/.bin", name);
const steps: readonly (readonly [name: string, command: string, args: readonly string[]])[] = [
  ["types", bin("tsc"), ["--noEmit"]],
  [
    "lint and format",
    bin("biome"),
    ["check", "--error-on-warnings", "packages", "scripts", "e2e", "bench", "examples"],
  ],
  ["tests", process.execPath, [join(root, "scripts/test.ts"), "unit"]],
];
for (const [name, command, args] of steps) {
  process.stdout.write(`check: ${name}\n`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    process.stderr.write(`WF9013 check failed at: ${name}\n`);
    process.exit(1);
  }
}

/**
 * rnacos, a real server of Nacos' protocols, built once from crates.io into the user's cache; some minutes the first time.
 *
 *   const path = buildRnacos();   // the program's path; at once when it is there
 *
 * Two who call it at the same time build it once. It needs cargo and crates.io; run this file to build it alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { peersFolder } from "./kube-apiserver.ts";

export const rnacosVersion = "0.8.8";

/** Nothing is optimised and nothing can be debugged: that builds in a third of the time, and runs well enough. */
const profile = {
  CARGO_PROFILE_DEV_DEBUG: "0",
  CARGO_PROFILE_DEV_OPT_LEVEL: "0",
  CARGO_PROFILE_DEV_STRIP: "symbols",
  CARGO_INCREMENTAL: "0",
};

/** The program's path; builds it where it is missing. Throws when that fails. */
export const buildRnacos = (): string => {
  const folder = join(peersFolder(), `rnacos-${rnacosVersion}`);
  const program = join(folder, "bin", "rnacos");
  if (existsSync(program)) return program;
  process.stdout.write(`building rnacos ${rnacosVersion} (some minutes, once)\n`);
  mkdirSync(folder, { recursive: true });
  const target = join(folder, "target");
  const install =
    'test -x "$1" || nice cargo install rnacos --version "$2" --locked --profile dev --root "$3" --target-dir "$4"';
  // Who comes second waits for the lock and finds it built.
  const { status, stderr, error } = spawnSync(
    "flock",
    [join(folder, "lock"), "sh", "-c", install, "sh", program, rnacosVersion, folder, target],
    { env: { ...process.env, ...profile }, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  if (status !== 0) {
    const said = error?.message ?? (stderr ?? "").split("\n").slice(-20).join("\n");
    throw new Error(`rnacos could not be built: ${said}`);
  }
  rmSync(target, { recursive: true, force: true });
  return program;
};

if (import.meta.main) process.stdout.write(`${buildRnacos()}\n`);

/**
 * What holds of a sidecar before, during and after an attack: others are answered, in a time that has to do with what it
 * was, what the attack held is given back, and the log is not flooded. Nothing of it depends on how fast the machine is.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import type { Program, ProgramOptions } from "@weft/testkit/processes";
import type { SteadyLoad } from "@weft/testkit/steady-load";

/** A size of an attack: the usual one, or with WEFT_HOSTILE_SCALE=full all of it. */
export const sized = (usual: number, full: number): number =>
  process.env.WEFT_HOSTILE_SCALE === "full" ? full : usual;

/** Attacks of full size take minutes. */
export const attackTimeoutMs = sized(180_000, 1_200_000);

const probe = join(import.meta.dirname, "leak/probe.ts");

/** How a sidecar is started whose memory is to be looked into: a young generation as small as the launcher makes it. */
export const watched: ProgramOptions = { env: { NODE_OPTIONS: `--max-semi-space-size=2 --import ${probe}` } };

const asked = new WeakMap<Program, number>();

/** Bytes that a watched sidecar holds on to, heap and buffers, once its garbage is collected. */
export const heldBytes = async (program: Program): Promise<number> => {
  const nth = (asked.get(program) ?? 0) + 1;
  asked.set(program, nth);
  program.kill("SIGUSR2");
  const [, json = "{}"] = await program.waitFor(new RegExp(`^probe ${nth} (.*)$`));
  const { heapUsed, external } = JSON.parse(json) as { readonly heapUsed: number; readonly external: number };
  return heapUsed + external;
};

export const residentBytes = (program: Program): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${program.pid}/status`, "utf8"))?.[1]) * 1024;

export const quantile = (times: readonly number[], share: number): number => {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
};

const mebibyte = 1024 * 1024;
/** Compiled code, caches and pieces kept for the next one: what an attack may leave behind. */
const heldSlackBytes = 2 * mebibyte;
/** The allocator keeps pages of what was given back, and lets go of them when it likes: more is not its habit. */
export const residentSlackBytes = 192 * mebibyte;
/** Others may become slower by this, or be this slow: both sides share the machine's cores with the attack itself. */
const slowerMost = 20;
const slowMostMs = 1_000;
const givenBackMs = 5_000;
/** Lines an attack may have the sidecar say. */
const linesMax = 20;
/** A heap that was never so full before may stay wider: the same once more finds room in it, where a leak does not. */
const tries = 3;

export interface Victim {
  readonly program: Program;
  /** Somebody who is not to be disturbed. */
  readonly load: SteadyLoad;
  /** Resolves when nothing of an attack is under way any more. */
  readonly quiet: () => Promise<unknown>;
}

export type Attack = (t: TestContext) => Promise<void>;

/** Collecting garbage is our own disturbance: requests that saw it are not counted. */
const undisturbed = async (load: SteadyLoad): Promise<void> => {
  await load.more(2);
  load.takeTimes();
};

const once = async ({ program, load, quiet }: Victim, run: Attack, t: TestContext): Promise<readonly string[]> => {
  await undisturbed(load);
  await load.more(100);
  const quietMs = quantile(load.takeTimes(), 0.99);
  const held = await heldBytes(program);
  const resident = residentBytes(program);
  const lines = program.lines.length;
  await undisturbed(load);
  await run(t);
  await load.more(20);
  const attackedMs = quantile(load.takeTimes(), 0.99);
  const said = program.lines.length - lines;
  await quiet();
  const heldMore = await eventually(
    "memory is given back",
    async () => {
      const more = (await heldBytes(program)) - held;
      return more <= heldSlackBytes ? more : undefined;
    },
    givenBackMs,
  ).catch(async () => (await heldBytes(program)) - held);
  const residentMore = residentBytes(program) - resident;
  const [heldText, residentText] = [heldMore, residentMore].map((bytes) => `${(bytes / mebibyte).toFixed(1)} MiB`);
  t.diagnostic(
    `others' p99 ${quietMs.toFixed(1)} → ${attackedMs.toFixed(1)} ms, held ${heldText}, resident ${residentText}, ${said} lines`,
  );
  return [
    ...(attackedMs > Math.max(slowerMost * quietMs, slowMostMs) ? [`others' p99 was ${attackedMs} ms`] : []),
    ...(heldMore > heldSlackBytes ? [`${heldText} more are held`] : []),
    ...(residentMore > residentSlackBytes ? [`${residentText} more are resident`] : []),
    ...(said > linesMax ? [`${said} lines were said`] : []),
  ];
};

/** Tests that run an attack, again where it left traces that a first time may leave. */
export const attacksOn =
  (victim: () => Victim) =>
  (name: string, run: Attack): void => {
    test(name, { timeout: attackTimeoutMs }, async (t) => {
      let problems: readonly string[] = [];
      for (let i = 0; i < tries; i++) {
        problems = await once(victim(), run, t);
        if (problems.length === 0) return;
      }
      assert.fail(`each of ${tries} times: ${problems.join(", ")}`);
    });
  };

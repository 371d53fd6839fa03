/** What a process holds at rest, one sample a round, and whether it grows. */
import { readdirSync, readFileSync } from "node:fs";
import type { Program } from "@weft/testkit/processes";

export interface Sample {
  readonly requests: number;
  readonly openFiles: number;
  readonly handles: Readonly<Record<string, number>>;
  readonly heapBytes: number;
  /** Memory of buffers and of native objects, outside the heap. */
  readonly externalBytes: number;
  readonly residentBytes: number;
}

/** Asks the probe in a process; `nth` counts the questions it was asked, from 1. */
export const takeSample = async (program: Program, nth: number, requests: number): Promise<Sample> => {
  program.kill("SIGUSR2");
  const [, json = "{}"] = await program.waitFor(new RegExp(`^probe ${nth} (.*)$`));
  const { heapUsed, external, handles } = JSON.parse(json) as {
    readonly heapUsed: number;
    readonly external: number;
    readonly handles: Readonly<Record<string, number>>;
  };
  return {
    requests,
    openFiles: readdirSync(`/proc/${program.pid}/fd`).length,
    handles,
    heapBytes: heapUsed,
    externalBytes: external,
    residentBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${program.pid}/status`, "utf8"))?.[1]) * 1024,
  };
};

/** Bytes a million requests add, by the line that lies closest to the samples. */
export const slopePerMillion = (samples: readonly Sample[], of: (sample: Sample) => number): number => {
  const xs = samples.map(({ requests }) => requests / 1e6);
  const ys = samples.map(of);
  const mean = (list: readonly number[]): number => list.reduce((sum, each) => sum + each, 0) / list.length;
  const [x, y] = [mean(xs), mean(ys)];
  const spread = xs.reduce((sum, each) => sum + (each - x) ** 2, 0);
  return spread === 0 ? 0 : xs.reduce((sum, each, i) => sum + (each - x) * ((ys[i] ?? y) - y), 0) / spread;
};

/** Growth a million requests that is taken for the noise of an allocator: less than a byte a request. */
const heapGrowthMax = 0.5e6;
const residentGrowthMax = 2e6;
/** A descriptor more or less is a log or the admin's. */
const openFilesSlack = 2;

/** Everything that grew in the second half of the samples, in words; nothing when all is well. */
export const findGrowth = (samples: readonly Sample[]): readonly string[] => {
  const half = samples.slice(Math.floor(samples.length / 2));
  const [first, last] = [half[0], half.at(-1)];
  if (first === undefined || last === undefined || half.length < 3) return ["too few samples to tell"];
  const found: string[] = [];
  const grow = (what: string, of: (sample: Sample) => number, most: number): void => {
    const slope = slopePerMillion(half, of);
    if (slope > most) found.push(`${what}: ${Math.round(slope)} bytes more per million requests, ${most} are let pass`);
  };
  grow("heap", ({ heapBytes }) => heapBytes, heapGrowthMax);
  grow("buffers", ({ externalBytes }) => externalBytes, heapGrowthMax);
  grow("resident", ({ residentBytes }) => residentBytes, residentGrowthMax);
  if (last.openFiles > first.openFiles + openFilesSlack)
    found.push(`open files: ${first.openFiles} → ${last.openFiles}`);
  for (const kind of new Set([...Object.keys(first.handles), ...Object.keys(last.handles)])) {
    const [before = 0, after = 0] = [first.handles[kind], last.handles[kind]];
    if (after > before + openFilesSlack) found.push(`${kind}: ${before} → ${after}`);
  }
  return found;
};

/** Systems side by side: medians of alternating rounds, and the table with ratios. */
import type { LoadResult } from "./load.ts";
import { cpuMicrosOf, rssMbOf } from "./process-usage.ts";

export interface Sample extends LoadResult {
  readonly cpuMicros: number;
  readonly rssMb: number;
}

/** One system under test: one process, or a pair whose costs add up. */
export interface System {
  readonly name: string;
  readonly pids: readonly number[];
  /** H:P the load is sent to. */
  readonly address: string;
}

const sum = (pids: readonly number[], of: (pid: number) => number): number =>
  pids.reduce((total, pid) => total + of(pid), 0);

/** CPU and memory of a system while `load` runs. */
export const sample = (system: System, load: (system: System) => LoadResult): Sample => {
  const before = sum(system.pids, cpuMicrosOf);
  const result = load(system);
  return { ...result, cpuMicros: sum(system.pids, cpuMicrosOf) - before, rssMb: sum(system.pids, rssMbOf) };
};

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

export interface Row {
  readonly bench: string;
  readonly system: string;
  /** CPU microseconds per request, message or byte. */
  readonly cpuPerRequest: number;
  readonly low: number;
  readonly high: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssMb: number;
  readonly failed: number;
}

/** Alternates the systems for `rounds`, after one warm-up each, and gives the medians. */
export const compare = (
  bench: string,
  systems: readonly System[],
  rounds: number,
  load: (system: System) => LoadResult,
): readonly Row[] => {
  const samples = new Map<string, Sample[]>(systems.map(({ name }) => [name, []]));
  for (const system of systems) load(system);
  for (let round = 0; round < rounds; round++) {
    for (const system of systems) samples.get(system.name)?.push(sample(system, load));
  }
  return [...samples].map(([system, taken]) => {
    const costs = taken.map(({ cpuMicros, requests }) => cpuMicros / Math.max(1, requests));
    return {
      bench,
      system,
      cpuPerRequest: median(costs),
      low: Math.min(...costs),
      high: Math.max(...costs),
      requestsPerSecond: median(taken.map(({ requests, seconds }) => requests / seconds)),
      p50Ms: median(taken.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(taken.map(({ p99Ms }) => p99Ms)),
      rssMb: median(taken.map(({ rssMb }) => rssMb)),
      failed: taken.reduce((total, { failed }) => total + failed, 0),
    };
  });
};

/** What a row's cost is in: microseconds a request or message, or milliseconds a gigabyte. */
export interface Unit {
  readonly title: string;
  readonly rate: string;
  readonly cost: (microsPerUnit: number) => number;
  readonly perSecond: (unitsPerSecond: number) => number;
}

const same = (value: number): number => value;
export const perRequest: Unit = { title: "CPU µs/request", rate: "requests/s", cost: same, perSecond: same };
export const perMessage: Unit = { title: "CPU µs/message", rate: "messages/s", cost: same, perSecond: same };
export const perGigabyte: Unit = {
  title: "CPU ms/GB",
  rate: "MB/s",
  cost: (micros) => (micros * 2 ** 30) / 1000,
  perSecond: (bytes) => bytes / 2 ** 20,
};

/** Rows as a Markdown table with the ratio to `peer`. */
export const formatRows = (rows: readonly Row[], peer: string, unit: Unit = perRequest): string => {
  const header = `| case | system | ${unit.title} (min–max) | ÷ ${peer} | ${unit.rate} | p50 ms | p99 ms | RSS MB | failed |\n|---|---|---|---|---|---|---|---|---|\n`;
  const line = (row: Row): string => {
    const base = rows.find(({ bench, system }) => bench === row.bench && system === peer)?.cpuPerRequest ?? Number.NaN;
    const [cost, low, high] = [row.cpuPerRequest, row.low, row.high].map((value) => unit.cost(value).toFixed(1));
    const cells = [
      row.bench,
      row.system,
      `${cost} (${low}–${high})`,
      (row.cpuPerRequest / base).toFixed(2),
      Math.round(unit.perSecond(row.requestsPerSecond)),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      Math.round(row.rssMb),
      row.failed,
    ];
    return `| ${cells.join(" | ")} |\n`;
  };
  return header + rows.map(line).join("");
};

/** Prints rows as a table, or as JSON where asked. */
export const printRows = (rows: readonly Row[], json: boolean, unit: Unit = perRequest, peer = "envoy"): void =>
  void process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : formatRows(rows, peer, unit));

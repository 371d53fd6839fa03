/** Processes measured from outside: CPU and memory from /proc, load from wrk and h2load, medians of alternating rounds. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** What one run of the load generator saw. */
export interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Sample extends LoadResult {
  readonly cpuMicros: number;
  readonly rssMb: number;
}

/** One system under test. */
export interface System {
  readonly name: string;
  readonly pid: number;
  /** H:P the load is sent to. */
  readonly address: string;
}

const ticksPerSecond = Number(spawnSync("getconf", ["CLK_TCK"], { encoding: "utf8" }).stdout.trim()) || 100;

/** User and system CPU of a process and its threads, in microseconds. */
export const cpuMicrosOf = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6;
};

export const rssMbOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

/** The systems under test have the last core alone; load and upstream share the first. */
export const loadCore = "0";
export const systemCore = String(Math.min(1, availableParallelism() - 1));
export const pin = (pid: number, core: string): void =>
  void spawnSync("taskset", ["-a", "-p", "-c", core, String(pid)]);

const milliseconds = (text: string | undefined): number => {
  const [, value = "0", unit = "ms"] = /([\d.]+)(us|ms|s)/.exec(text ?? "") ?? [];
  return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
};

const runLoad = (command: string, args: readonly string[]): string => {
  const { stdout, stderr, status } = spawnSync("taskset", ["-c", loadCore, command, ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(`WF9062 ${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
};

/** HTTP/1.1 keep-alive load. */
export const runWrk = (
  url: string,
  connections: number,
  seconds: number,
  headers: readonly string[] = [],
): LoadResult => {
  const text = runLoad("wrk", [
    "-t1",
    `-c${connections}`,
    `-d${seconds}s`,
    "--latency",
    ...headers.flatMap((header) => ["-H", header]),
    url,
  ]);
  const [, count = "0", took = "1"] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? [];
  const errors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  return {
    requests: Number(count),
    failed: refused + errors.reduce((sum, value) => sum + value, 0),
    seconds: Number(took),
    p50Ms: milliseconds(/50%\s+(\S+)/.exec(text)?.[1]),
    p99Ms: milliseconds(/99%\s+(\S+)/.exec(text)?.[1]),
  };
};

/** HTTP/2 prior-knowledge load. */
export const runH2load = (url: string, shape: { clients: number; streams: number; requests: number }): LoadResult => {
  const text = runLoad("h2load", ["-t1", `-c${shape.clients}`, `-m${shape.streams}`, `-n${shape.requests}`, url]);
  const [, took = "1", unit = "s"] = /finished in ([\d.]+)(us|ms|s)/.exec(text) ?? [];
  const [, total = "0", , succeeded = "0"] =
    /requests: (\d+) total, (\d+) started, \d+ done, (\d+) succeeded/.exec(text) ?? [];
  const ok = Number(/status codes: (\d+) 2xx/.exec(text)?.[1] ?? succeeded);
  const times = /time for request:\s+\S+\s+(\S+)\s+(\S+)/.exec(text);
  return {
    requests: Number(total),
    failed: Number(total) - ok,
    seconds: milliseconds(`${took}${unit}`) / 1000,
    p50Ms: milliseconds(times?.[2]),
    p99Ms: milliseconds(times?.[1]),
  };
};

/** CPU and memory of a system while `load` runs. */
export const sample = (system: System, load: (system: System) => LoadResult): Sample => {
  const before = cpuMicrosOf(system.pid);
  const result = load(system);
  return { ...result, cpuMicros: cpuMicrosOf(system.pid) - before, rssMb: rssMbOf(system.pid) };
};

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

export interface Row {
  readonly bench: string;
  readonly system: string;
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
      failed: taken.reduce((sum, { failed }) => sum + failed, 0),
    };
  });
};

/** Rows as a Markdown table with the ratio to `peer`. */
export const formatRows = (rows: readonly Row[], peer: string): string => {
  const header = `| case | system | CPU µs/request (min–max) | ÷ ${peer} | requests/s | p50 ms | p99 ms | RSS MB | failed |\n|---|---|---|---|---|---|---|---|---|\n`;
  const line = (row: Row): string => {
    const base = rows.find(({ bench, system }) => bench === row.bench && system === peer)?.cpuPerRequest ?? Number.NaN;
    const cells = [
      row.bench,
      row.system,
      `${row.cpuPerRequest.toFixed(1)} (${row.low.toFixed(1)}–${row.high.toFixed(1)})`,
      (row.cpuPerRequest / base).toFixed(2),
      Math.round(row.requestsPerSecond),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      Math.round(row.rssMb),
      row.failed,
    ];
    return `| ${cells.join(" | ")} |\n`;
  };
  return header + rows.map(line).join("");
};

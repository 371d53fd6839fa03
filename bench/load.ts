/** Load from wrk, h2load and our own message clients, each on the load's core. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@weft/testkit/eventually";
import { loadCore } from "./process-usage.ts";

/** What one run of a load generator saw. */
export interface LoadResult {
  /** Requests, messages, or bytes, by what the case counts. */
  readonly requests: number;
  readonly failed: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const milliseconds = (text: string | undefined): number => {
  const [, value = "0", unit = "ms"] = /([\d.]+)(us|ms|s)/.exec(text ?? "") ?? [];
  return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
};

const runLoad = (command: string, args: readonly string[]): string => {
  const { stdout, stderr, status } = spawnSync("taskset", ["-c", loadCore, command, ...args], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`WF9062 ${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
};

const bytesOf = (value: string, unit: string): number =>
  Number(value) * (unit === "GB" ? 2 ** 30 : unit === "MB" ? 2 ** 20 : unit === "KB" ? 2 ** 10 : 1);

/** HTTP/1.1 keep-alive load. `count` says what a unit is. */
export const runWrk = (
  url: string,
  connections: number,
  seconds: number,
  { headers = [], count = "requests" }: { headers?: readonly string[]; count?: "requests" | "bytes" } = {},
): LoadResult => {
  const text = runLoad("wrk", [
    "-t1",
    `-c${connections}`,
    `-d${seconds}s`,
    "--latency",
    ...headers.flatMap((header) => ["-H", header]),
    url,
  ]);
  const [, requests = "0", took = "1", size = "0", unit = "B"] =
    /(\d+) requests in ([\d.]+)s, ([\d.]+)(\w+) read/.exec(text) ?? [];
  const errors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  return {
    requests: count === "bytes" ? bytesOf(size, unit) : Number(requests),
    failed: refused + errors.reduce((sum, value) => sum + value, 0),
    seconds: Number(took),
    p50Ms: milliseconds(/50%\s+(\S+)/.exec(text)?.[1]),
    p99Ms: milliseconds(/99%\s+(\S+)/.exec(text)?.[1]),
  };
};

export interface H2loadShape {
  readonly clients: number;
  readonly streams: number;
  readonly requests: number;
  /** Requests a second of each client; as fast as it goes without. */
  readonly rate?: number;
  readonly http1?: boolean;
  readonly headers?: readonly string[];
  /** File whose bytes are sent as each request's body. */
  readonly bodyFile?: string;
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** HTTP/2 (or 1.1) load by h2load; times come from its log of every request. */
export const runH2load = (url: string, shape: H2loadShape): LoadResult => {
  const folder = mkdtempSync(join(tmpdir(), "weft-h2load-"));
  try {
    const log = join(folder, "log");
    const text = runLoad("h2load", [
      "-t1",
      `-c${shape.clients}`,
      `-m${shape.streams}`,
      `-n${shape.requests}`,
      `--log-file=${log}`,
      ...(shape.rate === undefined ? [] : [`--rps=${shape.rate}`]),
      ...(shape.http1 === true ? ["--h1"] : []),
      ...(shape.headers ?? []).flatMap((header) => ["-H", header]),
      ...(shape.bodyFile === undefined ? [] : ["-d", shape.bodyFile]),
      url,
    ]);
    const [, took = "1", unit = "s"] = /finished in ([\d.]+)(us|ms|s)/.exec(text) ?? [];
    const times: number[] = [];
    let ok = 0;
    for (const line of readFileSync(log, "utf8").split("\n")) {
      const [, status = "", micros = ""] = line.split("\t");
      if (micros === "") continue;
      times.push(Number(micros) / 1000);
      if (status.startsWith("2")) ok++;
    }
    times.sort((a, b) => a - b);
    return {
      requests: times.length,
      failed: shape.requests - ok,
      seconds: milliseconds(`${took}${unit}`) / 1000,
      p50Ms: percentile(times, 0.5),
      p99Ms: percentile(times, 0.99),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Resolves once one request succeeds. */
export const untilServes = (
  url: string,
  call: Pick<H2loadShape, "headers" | "bodyFile" | "http1"> = {},
): Promise<unknown> =>
  eventually(`an answer from ${url}`, () =>
    runH2load(url, { clients: 1, streams: 1, requests: 1, ...call }).failed === 0 ? true : undefined,
  );

/** A client program of ours in `load/`, which prints a LoadResult as JSON. */
export const runClient = (program: string, args: readonly (string | number)[]): LoadResult =>
  JSON.parse(
    runLoad(process.execPath, [join(import.meta.dirname, "load", program), ...args.map(String)]),
  ) as LoadResult;

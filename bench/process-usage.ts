/** CPU and memory of other processes, from /proc, and which core each has. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

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

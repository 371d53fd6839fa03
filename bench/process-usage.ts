/** CPU and memory of other processes, from /proc, and which core each has. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

const ticksPerSecond = Number(spawnSync("getconf", ["CLK_TCK"], { encoding: "utf8" }).stdout.trim()) || 100;

/** User and system CPU of a process and its threads, in microseconds. */
export const cpuMicrosOf = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6;
};

/** The same to the nanosecond, for rounds too short for ticks; threads that end meanwhile are not in it. */
export const exactCpuMicrosOf = (pid: number): number => {
  let nanos = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanos += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // It ended after it was listed.
    }
  }
  return nanos / 1000;
};

export const rssMbOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

/** The systems under test have the last core alone; load and upstream share the first. */
export const loadCore = "0";
export const systemCore = String(Math.min(1, availableParallelism() - 1));
export const pin = (pid: number, core: string): void =>
  void spawnSync("taskset", ["-a", "-p", "-c", core, String(pid)]);

import { processUsage } from "@weft/net/process/usage";
import type { Metrics } from "./metrics.ts";

/** The metrics of the process itself, under Prometheus' usual names. */
export const addProcessMetrics = (metrics: Metrics): void => {
  const add = (name: string, type: "counter" | "gauge", help: string, read: () => number): void =>
    metrics.collect(name, type, help, () => [{ value: read() }]);
  add("process_cpu_seconds_total", "counter", "CPU time used.", () => processUsage().cpuSeconds);
  add("process_resident_memory_bytes", "gauge", "Memory resident.", () => processUsage().residentBytes);
  add("process_start_time_seconds", "gauge", "When it started.", () => processUsage().startedAtSeconds);
  add("nodejs_heap_size_used_bytes", "gauge", "JavaScript heap in use.", () => processUsage().heapBytes);
};

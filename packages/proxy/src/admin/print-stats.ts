import type { StatsStore } from "../observe/create-stats.ts";
import { printStats, printStatsJson } from "../observe/print-stats.ts";
import { printPrometheus } from "../observe/prometheus.ts";
import type { StatsPrinter } from "./admin.ts";

/** Statistics as the admin's paths ask for them. A filter that is no expression throws ConfigError. */
export const createStatsPrinter = (stats: Pick<StatsStore, "series">): StatsPrinter => ({
  text: (query) => printStats(stats.series(), query),
  json: (query) => `${printStatsJson(stats.series(), query)}\n`,
  prometheus: (query) => printPrometheus(stats.series(), query),
});

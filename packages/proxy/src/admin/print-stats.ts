import type { Series, StatsStore } from "../observe/create-stats.ts";
import { printStats, printStatsJson } from "../observe/print-stats.ts";
import { printPrometheus } from "../observe/prometheus.ts";
import type { StatsPrinter } from "./admin.ts";

/** Statistics as the admin's paths ask for them. A filter that is no expression throws ConfigError. */
export const createStatsPrinter = (stats: Pick<StatsStore, "series">): StatsPrinter => {
  /** What counters stood at when they were reset: they go on counting from there. */
  const resetAt = new Map<string, number>();
  const keyOf = ({ name, labels }: Series): string => (labels.length === 0 ? name : JSON.stringify([name, labels]));
  function* since(): Generator<Series> {
    for (const series of stats.series()) {
      const before = resetAt.size > 0 && series.type === "counter" ? resetAt.get(keyOf(series)) : undefined;
      // A counter that has begun anew, with what it counts, is below where it stood.
      if (before === undefined || series.type !== "counter") yield series;
      else yield { ...series, value: series.value >= before ? series.value - before : series.value };
    }
  }
  return {
    text: (query) => printStats(since(), query),
    json: (query) => `${printStatsJson(since(), query)}\n`,
    prometheus: (query) => printPrometheus(since(), query),
    reset: () => {
      resetAt.clear();
      for (const series of stats.series())
        if (series.type === "counter" && series.value !== 0) resetAt.set(keyOf(series), series.value);
    },
  };
};

/** The admin's `/stats`: names and values as text or JSON. */
import { partialMatch } from "../matching/regex.ts";
import { bucketBounds, type HistogramValues, type Series } from "./create-stats.ts";

export interface PrintOptions {
  /** An RE2 expression that some part of the name must match. */
  readonly filter?: string | undefined;
  /** Only what has been written: counters and gauges that are not 0, histograms with values. */
  readonly usedOnly?: boolean | undefined;
}

const isUsed = (series: Series): boolean =>
  series.type === "histogram" ? series.values.count > 0 : series.value !== 0;

/** The series asked for, in order of names. Throws ConfigError when the filter is no expression. */
export const selectSeries = (all: Iterable<Series>, { filter, usedOnly }: PrintOptions): readonly Series[] => {
  const test = filter ? partialMatch(filter, "filter") : undefined;
  const chosen: Series[] = [];
  for (const series of all) {
    if (test && !test(series.name)) continue;
    if (usedOnly && !isUsed(series)) continue;
    chosen.push(series);
  }
  return chosen.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
};

const quantiles = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

/** A value below which so many percent lie, taken as evenly spread within its bucket. */
export const quantile = ({ buckets, count }: HistogramValues, percent: number): number => {
  const rank = (percent / 100) * count;
  let seen = 0;
  for (const [index, inBucket] of buckets.entries()) {
    if (inBucket === 0 || seen + inBucket < rank) {
      seen += inBucket;
      continue;
    }
    const low = index === 0 ? 0 : (bucketBounds[index - 1] ?? 0);
    const high = bucketBounds[index] ?? low;
    return low + (high - low) * ((rank - seen) / inBucket);
  }
  return bucketBounds.at(-1) ?? 0;
};

const short = (value: number): string => String(Number(value.toPrecision(5)));

const histogramText = (values: HistogramValues): string =>
  values.count === 0
    ? "No recorded values"
    : quantiles.map((percent) => `P${percent}(nan,${short(quantile(values, percent))})`).join(" ");

/** Labelled series and Istio's are for Prometheus only. */
const isEnvoys = ({ name, labels }: Series): boolean => labels.length === 0 && !name.startsWith("istio_");

/** `name: value` lines. */
export const printStats = (all: Iterable<Series>, options: PrintOptions): string =>
  selectSeries(all, options)
    .filter(isEnvoys)
    .map((series) =>
      series.type === "histogram"
        ? `${series.name}: ${histogramText(series.values)}\n`
        : `${series.name}: ${series.value}\n`,
    )
    .join("");

/** Envoy's JSON form: a list of stats, histograms together in one entry. */
export const printStatsJson = (all: Iterable<Series>, options: PrintOptions): string => {
  const chosen = selectSeries(all, options).filter(isEnvoys);
  const stats: unknown[] = [];
  const computed: unknown[] = [];
  for (const series of chosen) {
    if (series.type !== "histogram") {
      stats.push({ name: series.name, value: series.value });
    } else {
      const { values } = series;
      const value = (percent: number) => (values.count === 0 ? null : quantile(values, percent));
      computed.push({
        name: series.name,
        values: quantiles.map((percent) => ({ interval: null, cumulative: value(percent) })),
      });
    }
  }
  if (computed.length > 0) stats.push({ histograms: { supported_quantiles: quantiles, computed_quantiles: computed } });
  return JSON.stringify({ stats });
};

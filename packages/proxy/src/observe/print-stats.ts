/** The admin's `/stats`: names and values as text or JSON. */
import { partialMatch } from "../matching/regex.ts";
import type { HistogramValues, Series } from "./create-stats.ts";
import { oneLine } from "./one-line.ts";
import { type BucketMode, histogramsJson, histogramText } from "./print-histogram.ts";

export interface PrintOptions {
  /** An RE2 expression that some part of the name must match, or must not where that is inverted. */
  readonly filter?: string | undefined;
  readonly invert?: boolean | undefined;
  /** Only what has been written: counters and gauges that are not 0, histograms with values. */
  readonly usedOnly?: boolean | undefined;
  /** Only series of this sort. */
  readonly type?: Series["type"] | "text" | undefined;
  readonly buckets?: BucketMode | undefined;
}

const isUsed = (series: Series): boolean =>
  series.type === "histogram" ? series.values.count > 0 : series.value !== 0;

/** The series asked for, in order of names. Throws ConfigError when the filter is no expression. */
export const selectSeries = (
  all: Iterable<Series>,
  { filter, invert = false, usedOnly, type }: PrintOptions,
): readonly Series[] => {
  const test = filter ? partialMatch(filter, "filter") : undefined;
  const chosen: Series[] = [];
  for (const series of all) {
    if (type !== undefined && series.type !== type) continue;
    if (test && test(series.name) === invert) continue;
    if (usedOnly && !isUsed(series)) continue;
    chosen.push(series);
  }
  return chosen.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
};

/** Labelled series and Istio's are for Prometheus only. */
const isEnvoys = ({ name, labels }: Series): boolean => labels.length === 0 && !name.startsWith("istio_");

interface Split {
  readonly values: readonly { readonly name: string; readonly value: number }[];
  readonly histograms: readonly { readonly name: string; readonly values: HistogramValues }[];
}

const split = (all: Iterable<Series>, options: PrintOptions): Split => {
  const values: { name: string; value: number }[] = [];
  const histograms: { name: string; values: HistogramValues }[] = [];
  for (const series of selectSeries(all, options).filter(isEnvoys)) {
    if (series.type === "histogram") histograms.push({ name: series.name, values: series.values });
    else values.push({ name: series.name, value: series.value });
  }
  return { values, histograms };
};

/** `name: value` lines; histograms come last, as in Envoy. */
export const printStats = (all: Iterable<Series>, options: PrintOptions): string => {
  const { values, histograms } = split(all, options);
  const mode = options.buckets ?? "summary";
  return [
    ...values.map(({ name, value }) => `${oneLine(name)}: ${value}\n`),
    ...histograms.map(({ name, values }) => `${oneLine(name)}: ${histogramText(values, mode)}\n`),
  ].join("");
};

/** Envoy's JSON form: a list of stats, histograms together in one entry. */
export const printStatsJson = (all: Iterable<Series>, options: PrintOptions): string => {
  const { values, histograms } = split(all, options);
  const last = histograms.length > 0 ? [{ histograms: histogramsJson(histograms, options.buckets ?? "summary") }] : [];
  return JSON.stringify({ stats: [...values, ...last] });
};

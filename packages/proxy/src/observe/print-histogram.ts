/** Histograms as Envoy's `/stats` shows them: quantiles, or the counts of buckets. */
import { bucketBounds, type HistogramValues } from "./create-stats.ts";

/** How buckets are shown: quantiles when not at all. */
export type BucketMode = "summary" | "cumulative" | "disjoint" | "detailed";
export const bucketModes: readonly BucketMode[] = ["cumulative", "disjoint", "detailed", "summary"];

export const quantiles: readonly number[] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

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

/** As C prints `%g`: five digits, an exponent of at least two digits. */
const short = (value: number): string => {
  if (value >= 1e6) return value.toExponential().replace(/e\+(\d)$/, "e+0$1");
  return String(Number(value.toPrecision(5)));
};

/** What lies at or below each bound, or between it and the one before. */
const countsOf = ({ buckets }: HistogramValues, cumulative: boolean): readonly number[] => {
  let seen = 0;
  return bucketBounds.map((_, index) => {
    const own = buckets[index] ?? 0;
    seen += own;
    return cumulative ? seen : own;
  });
};

const summary = (values: HistogramValues): string =>
  quantiles.map((percent) => `P${percent}(nan,${short(quantile(values, percent))})`).join(" ");

export const histogramText = (values: HistogramValues, mode: BucketMode): string => {
  if (values.count === 0) return "No recorded values";
  if (mode === "summary") return summary(values);
  const counts = countsOf(values, mode === "cumulative");
  return bucketBounds.map((bound, index) => `B${short(bound)}(0,${counts[index]})`).join(" ");
};

/** The one entry of `/stats?format=json` that holds all histograms. */
export const histogramsJson = (
  histograms: readonly { readonly name: string; readonly values: HistogramValues }[],
  mode: BucketMode,
): object => {
  const computed = (values: HistogramValues) =>
    quantiles.map((percent) => ({
      cumulative: values.count === 0 ? null : quantile(values, percent),
      interval: null,
    }));
  switch (mode) {
    case "summary":
      return {
        supported_quantiles: quantiles,
        computed_quantiles: histograms.map(({ name, values }) => ({ name, values: computed(values) })),
      };
    case "detailed":
      return {
        supported_percentiles: quantiles,
        details: histograms.map(({ name, values }) => ({
          name,
          totals: bucketBounds.flatMap((bound, index) => {
            const low = bucketBounds[index - 1] ?? 0;
            const count = values.buckets[index] ?? 0;
            return count === 0 ? [] : [{ lower_bound: low, width: bound - low, count }];
          }),
          intervals: [],
          percentiles: computed(values),
        })),
      };
    default:
      return histograms.map(({ name, values }) => {
        const counts = countsOf(values, mode === "cumulative");
        const bucket = (bound: number, index: number) => ({
          upper_bound: bound,
          interval: 0,
          cumulative: counts[index] ?? 0,
        });
        return { name, buckets: bucketBounds.map(bucket) };
      });
  }
};

/** Outliers by comparison of success rates over an interval, and by a fixed percentage of failures. */
import type { Host } from "./host.ts";
import type { OutlierSettings } from "./outlier-settings.ts";

export interface HostRate {
  readonly host: Host;
  readonly total: number;
  readonly success: number;
}

const rateOf = ({ total, success }: HostRate): number => (100 * success) / total;

/** Hosts with enough requests to be judged; none when there are too few such hosts. */
const judged = (rates: readonly HostRate[], requestVolume: number, minimumHosts: number): readonly HostRate[] => {
  const enough = rates.filter(({ total }) => total > 0 && total >= requestVolume);
  return enough.length >= minimumHosts ? enough : [];
};

/** Hosts more than so many standard deviations below the mean of all. */
export const successRateOutliers = (
  rates: readonly HostRate[],
  { requestVolume, minimumHosts, stdevFactor }: OutlierSettings["successRate"],
): readonly Host[] => {
  const hosts = judged(rates, requestVolume, minimumHosts);
  if (hosts.length === 0) return [];
  const mean = hosts.reduce((sum, rate) => sum + rateOf(rate), 0) / hosts.length;
  const variance = hosts.reduce((sum, rate) => sum + (rateOf(rate) - mean) ** 2, 0) / hosts.length;
  const threshold = mean - stdevFactor * Math.sqrt(variance);
  return hosts.filter((rate) => rateOf(rate) < threshold).map(({ host }) => host);
};

export const failurePercentageOutliers = (
  rates: readonly HostRate[],
  { requestVolume, minimumHosts, threshold }: OutlierSettings["failurePercentage"],
): readonly Host[] =>
  judged(rates, requestVolume, minimumHosts)
    .filter((rate) => 100 - rateOf(rate) >= threshold)
    .map(({ host }) => host);

import type { ClusterCounters } from "./cluster.ts";

export const createClusterCounters = (): ClusterCounters => ({
  upstreamCxTotal: 0,
  upstreamCxActive: 0,
  upstreamCxConnectFail: 0,
  upstreamCxConnectTimeout: 0,
  upstreamCxConnectAttemptsExceeded: 0,
  upstreamCxOverflow: 0,
  upstreamCxDestroy: 0,
  upstreamCxRxBytesTotal: 0,
  upstreamRqTotal: 0,
  upstreamRqActive: 0,
  upstreamRqPendingTotal: 0,
  upstreamRqPendingOverflow: 0,
  upstreamRqPendingActive: 0,
  upstreamRqCancelled: 0,
  upstreamRqTimeout: 0,
  upstreamRqPerTryTimeout: 0,
  upstreamRqRxReset: 0,
  upstreamRqTxReset: 0,
  upstreamRqRetry: 0,
  upstreamRqRetrySuccess: 0,
  upstreamRqRetryOverflow: 0,
  upstreamRqRetryLimitExceeded: 0,
  upstreamRq2xx: 0,
  upstreamRq3xx: 0,
  upstreamRq4xx: 0,
  upstreamRq5xx: 0,
  membershipTotal: 0,
  membershipHealthy: 0,
  outlierDetectionEjectionsActive: 0,
  outlierDetectionEjectionsTotal: 0,
  lbHealthyPanic: 0,
});

const gauges: ReadonlySet<string> = new Set([
  "upstreamCxActive",
  "upstreamRqActive",
  "upstreamRqPendingActive",
  "membershipTotal",
  "membershipHealthy",
  "outlierDetectionEjectionsActive",
]);

const envoyName = (member: string): string =>
  member
    .replace(/^outlierDetection/, "outlier_detection.")
    .replace(/([a-z])(?=[A-Z])/g, "$1_")
    .replace(/Rq([2-5]xx)$/, "Rq_$1")
    .toLowerCase()
    .replace("detection._", "detection.");

const members: readonly (readonly [member: keyof ClusterCounters, name: string, type: "counter" | "gauge"])[] = (
  Object.keys(createClusterCounters()) as (keyof ClusterCounters)[]
).map((member) => [member, envoyName(member), gauges.has(member) ? "gauge" : "counter"] as const);

/** A cluster's counters under Envoy's names, for `Stats.collect`. */
export function* namedClusterCounters(
  statName: string,
  counters: ClusterCounters,
): Generator<readonly [name: string, value: number, type: "counter" | "gauge"]> {
  for (const [member, name, type] of members) yield [`cluster.${statName}.${name}`, counters[member], type];
}

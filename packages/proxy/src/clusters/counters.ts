import type { ClusterCounters } from "./cluster.ts";

export const createClusterCounters = (): ClusterCounters => ({
  upstreamCxTotal: 0,
  upstreamCxActive: 0,
  upstreamCxConnectFail: 0,
  upstreamCxConnectTimeout: 0,
  upstreamCxConnectAttemptsExceeded: 0,
  upstreamCxOverflow: 0,
  upstreamCxHttp1Total: 0,
  upstreamCxHttp2Total: 0,
  upstreamCxIdleTimeout: 0,
  upstreamCxMaxRequests: 0,
  upstreamCxMaxDurationReached: 0,
  upstreamCxPeerIdleRetired: 0,
  upstreamCxLeaseLost: 0,
  upstreamCxLeaseQuiet: 0,
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
  upstreamCxTxBytesTotal: 0,
  upstreamCxNoneHealthy: 0,
  upstreamRqMaxDurationReached: 0,
  upstreamRqCompleted: 0,
  upstreamRq200: 0,
  upstreamRq201: 0,
  upstreamRq202: 0,
  upstreamRq204: 0,
  upstreamRq206: 0,
  upstreamRq301: 0,
  upstreamRq302: 0,
  upstreamRq304: 0,
  upstreamRq307: 0,
  upstreamRq308: 0,
  upstreamRq400: 0,
  upstreamRq401: 0,
  upstreamRq403: 0,
  upstreamRq404: 0,
  upstreamRq405: 0,
  upstreamRq409: 0,
  upstreamRq413: 0,
  upstreamRq429: 0,
  upstreamRq499: 0,
  upstreamRq500: 0,
  upstreamRq501: 0,
  upstreamRq502: 0,
  upstreamRq503: 0,
  upstreamRq504: 0,
  retryUpstreamRqCompleted: 0,
  retryUpstreamRq4xx: 0,
  retryUpstreamRq5xx: 0,
  retryUpstreamRq503: 0,
  membershipChange: 0,
  membershipDegraded: 0,
  membershipExcluded: 0,
  sslHandshake: 0,
  sslConnectionError: 0,
  updateAttempt: 0,
  updateSuccess: 0,
  updateFailure: 0,
  updateEmpty: 0,
  updateNoRebuild: 0,
  originalDstHostInvalid: 0,
  lbSubsetsActive: 0,
  lbSubsetsCreated: 0,
  lbSubsetsRemoved: 0,
  lbSubsetsSelected: 0,
  lbSubsetsFallback: 0,
  lbSubsetsFallbackPanic: 0,
  lbRecalculateZoneStructures: 0,
  lbLocalClusterNotOk: 0,
  lbZoneClusterTooSmall: 0,
  lbZoneNoCapacityLeft: 0,
  lbZoneRoutingAllDirectly: 0,
  lbZoneRoutingSampled: 0,
  lbZoneRoutingCrossZone: 0,
  upstreamRqDropOverload: 0,
  assignmentStale: 0,
  healthCheckAttempt: 0,
  healthCheckSuccess: 0,
  healthCheckFailure: 0,
  healthCheckPassiveFailure: 0,
  healthCheckNetworkFailure: 0,
  healthCheckVerifyCluster: 0,
  healthCheckHealthy: 0,
  healthCheckDegraded: 0,
  outlierDetectionEjectionsEnforcedTotal: 0,
  outlierDetectionEjectionsOverflow: 0,
  outlierDetectionEjectionsDetectedConsecutive5xx: 0,
  outlierDetectionEjectionsEnforcedConsecutive5xx: 0,
  outlierDetectionEjectionsDetectedConsecutiveGatewayFailure: 0,
  outlierDetectionEjectionsEnforcedConsecutiveGatewayFailure: 0,
  outlierDetectionEjectionsDetectedConsecutiveLocalOriginFailure: 0,
  outlierDetectionEjectionsEnforcedConsecutiveLocalOriginFailure: 0,
  outlierDetectionEjectionsDetectedSuccessRate: 0,
  outlierDetectionEjectionsEnforcedSuccessRate: 0,
  outlierDetectionEjectionsDetectedLocalOriginSuccessRate: 0,
  outlierDetectionEjectionsEnforcedLocalOriginSuccessRate: 0,
  outlierDetectionEjectionsDetectedFailurePercentage: 0,
  outlierDetectionEjectionsEnforcedFailurePercentage: 0,
  outlierDetectionEjectionsDetectedLocalOriginFailurePercentage: 0,
  outlierDetectionEjectionsEnforcedLocalOriginFailurePercentage: 0,
});

const gauges: ReadonlySet<string> = new Set([
  "upstreamCxActive",
  "upstreamRqActive",
  "upstreamRqPendingActive",
  "membershipTotal",
  "membershipHealthy",
  "membershipDegraded",
  "membershipExcluded",
  "outlierDetectionEjectionsActive",
  "lbSubsetsActive",
  "healthCheckHealthy",
  "healthCheckDegraded",
]);

const envoyName = (member: string): string =>
  member
    .replace(/^(outlierDetection|healthCheck|retry|ssl)(?=[A-Z])/, (group) => `${group.replace(/[A-Z]/, "_$&")}.`)
    .replace("Consecutive5xx", "Consecutive_5xx")
    .replace(/([a-z0-9])(?=[A-Z])/g, "$1_")
    .replace(/Rq([2-5](?:xx|\d\d))$/, "Rq_$1")
    .toLowerCase();

const members: readonly (readonly [member: keyof ClusterCounters, name: string, type: "counter" | "gauge"])[] = (
  Object.keys(createClusterCounters()) as (keyof ClusterCounters)[]
).map((member) => [member, envoyName(member), gauges.has(member) ? "gauge" : "counter"] as const);

/** A cluster's counters under Envoy's names, for `Stats.collect`. */
export function* namedClusterCounters(
  statName: string,
  counters: ClusterCounters,
): Generator<readonly [name: string, value: number, type: "counter" | "gauge"]> {
  for (const [member, name, type] of members) {
    const value = counters[member];
    // As in Envoy a code, a retry and TLS have names once there was one; so has what few clusters do at all.
    if (value !== 0 || !bySight.test(name)) yield [`cluster.${statName}.${name}`, value, type];
  }
}
const bySight =
  /^retry\.|^ssl\.|_rq_\d{3}$|^lb_subsets|^lb_.*zone|^lb_local|^health_check|_ejections_(enf|det|over)|drop_overload|_stale$/;

/** Counts an answer given to the client, the upstream's or ours in its place, by its class and code. */
export const countAnswer = (counters: ClusterCounters, status: number): void => {
  counters.upstreamRqCompleted++;
  if (status === 200) {
    counters.upstreamRq2xx++;
    counters.upstreamRq200++;
    return;
  }
  if (status < 300) counters.upstreamRq2xx++;
  else if (status < 400) counters.upstreamRq3xx++;
  else if (status < 500) counters.upstreamRq4xx++;
  else counters.upstreamRq5xx++;
  const member = codeMembers.get(status);
  if (member !== undefined) counters[member]++;
};

/** Counts an answer that was not good enough: the request is tried again. */
export const countRetriedAnswer = (counters: ClusterCounters, status: number): void => {
  counters.retryUpstreamRqCompleted++;
  if (status >= 500) counters.retryUpstreamRq5xx++;
  else if (status >= 400) counters.retryUpstreamRq4xx++;
  if (status === 503) counters.retryUpstreamRq503++;
};

const codeMembers: ReadonlyMap<number, keyof ClusterCounters> = new Map(
  members.flatMap(([member, name]): (readonly [number, keyof ClusterCounters])[] => {
    const code = /^upstream_rq_(\d{3})$/.exec(name);
    return code ? [[Number(code[1]), member]] : [];
  }),
);

import { parsePrometheus, quantile, type Sample } from "./prometheus.ts";

/** What one workload's own sidecar counted since it started. */
export interface WorkloadCounts {
  readonly requests: number;
  readonly succeeded: number;
  readonly mutualTls: number;
  /** Upper bound in milliseconds → requests at or below it. */
  readonly buckets: ReadonlyMap<number, number>;
}

/** What happened between two readings. */
export interface WorkloadRates {
  readonly rps: number;
  readonly success: number;
  readonly mtls: number;
  readonly p50: number;
  readonly p99: number;
}

const none: WorkloadCounts = { requests: 0, succeeded: 0, mutualTls: 0, buckets: new Map() };
const wanted = new Set(["istio_requests_total", "istio_request_duration_milliseconds_bucket"]);

const sum = (samples: readonly Sample[]): number => samples.reduce((total, { value }) => total + value, 0);

/** Reads what arrived at a workload out of its sidecar's `/stats/prometheus`. */
export const countsOf = (text: string): WorkloadCounts => {
  const arrived = parsePrometheus(text, (name) => wanted.has(name)).filter(
    ({ labels }) => labels.get("reporter") === "destination",
  );
  const requests = arrived.filter(({ name }) => name === "istio_requests_total");
  const buckets = new Map<number, number>();
  for (const { name, labels, value } of arrived) {
    if (name !== "istio_request_duration_milliseconds_bucket") continue;
    const le = Number(labels.get("le")?.replace("+Inf", "Infinity"));
    buckets.set(le, (buckets.get(le) ?? 0) + value);
  }
  return {
    requests: sum(requests),
    succeeded: sum(requests.filter(({ labels }) => /^[23]/.test(labels.get("response_code") ?? ""))),
    mutualTls: sum(requests.filter(({ labels }) => labels.get("connection_security_policy") === "mutual_tls")),
    buckets,
  };
};

/** Adds up workloads of one service. */
export const addCounts = (all: readonly WorkloadCounts[]): WorkloadCounts => {
  const buckets = new Map<number, number>();
  for (const counts of all) for (const [le, count] of counts.buckets) buckets.set(le, (buckets.get(le) ?? 0) + count);
  return {
    requests: all.reduce((total, { requests }) => total + requests, 0),
    succeeded: all.reduce((total, { succeeded }) => total + succeeded, 0),
    mutualTls: all.reduce((total, { mutualTls }) => total + mutualTls, 0),
    buckets,
  };
};

/** Rates over `seconds`; shares are 1 where nothing arrived. */
export const ratesBetween = (before: WorkloadCounts = none, after: WorkloadCounts, seconds: number): WorkloadRates => {
  const requests = Math.max(0, after.requests - before.requests);
  const share = (now: number, then: number): number => (requests === 0 ? 1 : (now - then) / requests);
  const buckets = [...after.buckets].map(([le, count]) => ({ le, count: count - (before.buckets.get(le) ?? 0) }));
  return {
    rps: requests / seconds,
    success: share(after.succeeded, before.succeeded),
    mtls: share(after.mutualTls, before.mutualTls),
    p50: quantile(buckets, 0.5),
    p99: quantile(buckets, 0.99),
  };
};

/** What clients of the load reporting service told, summed up and bounded. */
import type { ClusterReport, LocalityReport } from "@weft/xds/load-reports";
import type { Metrics, Sample } from "../metrics/metrics.ts";

export const loadLimits = {
  clustersPerReporter: 5_000,
  localitiesPerCluster: 64,
  /** Clusters summed up over all reporters, for metrics. */
  clusters: 10_000,
  nameChars: 512,
} as const;

/** Sums since the reporter came; `inProgress` is of its last report. */
export interface ReportedCluster {
  readonly cluster: string;
  readonly service: string;
  readonly dropped: number;
  readonly intervalMs: number;
  readonly localities: readonly LocalityReport[];
}

export interface Reporter extends Disposable {
  add(clusters: readonly ClusterReport[], atMs: number): void;
}

export interface ReporterView {
  readonly proxy: string;
  readonly namespace: string;
  readonly reports: number;
  readonly reportedAtMs: number | undefined;
  readonly clusters: readonly ReportedCluster[];
}

export interface LoadTable {
  /** One stream's part, until it is disposed. */
  open(facts: { readonly proxy: string; readonly namespace: string }): Reporter;
  list(): readonly ReporterView[];
}

interface Held {
  readonly facts: { readonly proxy: string; readonly namespace: string };
  readonly clusters: Map<string, ReportedCluster>;
  reports: number;
  reportedAtMs: number | undefined;
}

interface Totals {
  issued: number;
  succeeded: number;
  failed: number;
  dropped: number;
}

export const createLoadTable = (metrics: Metrics): LoadTable => {
  const reporters = new Set<Held>();
  const totals = new Map<string, Totals>();
  const leftOut = metrics.counter("weft_load_reports_left_out_total", "Clusters and localities reported over a bound.");
  metrics.collect("weft_load_reporters", "gauge", "Clients that report load.", () => [{ value: reporters.size }]);
  metrics.collect(
    "weft_load_requests_total",
    "counter",
    "Requests as clients report them, by cluster and result.",
    function* (): Iterable<Sample> {
      for (const [cluster, sum] of totals)
        for (const result of ["issued", "succeeded", "failed", "dropped"] as const)
          yield { labels: { cluster, result }, value: sum[result] };
    },
  );

  const addTotals = ({ cluster, dropped, localities }: ClusterReport): void => {
    const known = totals.get(cluster);
    if (!known && totals.size >= loadLimits.clusters) {
      leftOut.add(1);
      return;
    }
    const sum = known ?? { issued: 0, succeeded: 0, failed: 0, dropped: 0 };
    sum.dropped += dropped;
    for (const { issued, succeeded, failed } of localities) {
      sum.issued += issued;
      sum.succeeded += succeeded;
      sum.failed += failed;
    }
    totals.set(cluster, sum);
  };

  const addCluster = ({ clusters }: Held, report: ClusterReport): void => {
    const known = clusters.get(report.cluster);
    const isNew = known === undefined && clusters.size >= loadLimits.clustersPerReporter;
    if (isNew || report.cluster.length > loadLimits.nameChars || report.cluster === "") {
      leftOut.add(1);
      return;
    }
    const merged = mergeLocalities(known?.localities ?? [], report.localities);
    const localities = merged.slice(0, loadLimits.localitiesPerCluster);
    if (merged.length > localities.length) leftOut.add(merged.length - localities.length);
    clusters.set(report.cluster, { ...report, dropped: (known?.dropped ?? 0) + report.dropped, localities });
    addTotals(report);
  };

  return {
    open(facts) {
      const held: Held = { facts, clusters: new Map(), reports: 0, reportedAtMs: undefined };
      reporters.add(held);
      return {
        add(clusters, atMs) {
          held.reports++;
          held.reportedAtMs = atMs;
          for (const report of clusters) addCluster(held, report);
        },
        [Symbol.dispose]: () => void reporters.delete(held),
      };
    },
    list: () =>
      [...reporters].map(({ facts, clusters, reports, reportedAtMs }) => ({
        ...facts,
        reports,
        reportedAtMs,
        clusters: [...clusters.values()],
      })),
  };
};

const keyOf = ({ region, zone, subZone, priority }: LocalityReport): string =>
  [region, zone, subZone, priority].map((part) => String(part).slice(0, loadLimits.nameChars)).join("\0");

/** Sums; what a report does not speak of has nothing in progress. */
const mergeLocalities = (
  known: readonly LocalityReport[],
  reported: readonly LocalityReport[],
): readonly LocalityReport[] => {
  const merged = new Map(known.map((one) => [keyOf(one), { ...one, inProgress: 0 }]));
  for (const one of reported) {
    const before = merged.get(keyOf(one));
    merged.set(keyOf(one), {
      ...one,
      issued: one.issued + (before?.issued ?? 0),
      succeeded: one.succeeded + (before?.succeeded ?? 0),
      failed: one.failed + (before?.failed ?? 0),
    });
  }
  return [...merged.values()];
};

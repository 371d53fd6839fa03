/** What clients of the load reporting service told, summed up and bounded. */
import type { ClusterReport, LocalityReport, UnhealthyHost } from "@weft/xds/load-reports";
import type { Metrics, Sample } from "../metrics/metrics.ts";

export const loadLimits = {
  clustersPerReporter: 5_000,
  localitiesPerCluster: 64,
  /** Clusters summed up over all reporters, for metrics. */
  clusters: 10_000,
  /** Clusters and localities kept for all reporters together: who opens many streams costs no more memory than this. */
  kept: 200_000,
  nameChars: 512,
  /** Of a region, zone or sub-zone. */
  placeChars: 128,
} as const;

/** Sums since the reporter came; `inProgress` is of its last report. */
export interface ReportedCluster {
  readonly cluster: string;
  readonly service: string;
  readonly dropped: number;
  readonly intervalMs: number;
  readonly localities: readonly LocalityReport[];
  /** Hosts that it does not use, as of its last report. */
  readonly unhealthy?: readonly UnhealthyHost[];
  /** It checks the hosts actively. */
  readonly checksHosts?: true;
  /** Of its last report that spoke of the cluster. */
  readonly reportedAtMs: number;
}

export interface Reporter extends Disposable {
  add(clusters: readonly ClusterReport[], atMs: number): void;
}

export interface ReporterFacts {
  readonly proxy: string;
  readonly namespace: string;
  /** Whose word its checks are: a proxy may call itself what it likes. Empty: nobody's, so that it decides nothing. */
  readonly voice?: string;
}

export interface ReporterView extends ReporterFacts {
  readonly reports: number;
  readonly reportedAtMs: number | undefined;
  readonly clusters: readonly ReportedCluster[];
}

export interface LoadTable {
  /** One stream's part, until it is disposed. */
  open(facts: ReporterFacts): Reporter;
  list(): readonly ReporterView[];
  /** Calls when a report of clusters whose hosts are checked came, and when one who made such is gone. */
  onChecks(tell: () => void): void;
}

interface Held {
  readonly facts: ReporterFacts;
  readonly clusters: Map<string, ReportedCluster>;
  /** Its clusters and their localities. */
  kept: number;
  reports: number;
  reportedAtMs: number | undefined;
  /** It has reported clusters whose hosts it checks. */
  checks: boolean;
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
  let kept = 0;
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

  let tellChecks = (): void => {};

  const addCluster = (held: Held, report: ClusterReport, reportedAtMs: number): void => {
    const { cluster, service } = report;
    const known = held.clusters.get(cluster);
    const before = known === undefined ? 0 : 1 + known.localities.length + (known.unhealthy?.length ?? 0);
    const room = loadLimits.kept - kept + before - 1;
    const isFull = known === undefined && (held.clusters.size >= loadLimits.clustersPerReporter || room < 0);
    if (isFull || cluster === "" || isLong(cluster) || isLong(service)) {
      leftOut.add(1);
      return;
    }
    const placed = report.localities.filter(isShort);
    const merged = mergeLocalities(known?.localities ?? [], placed);
    const localities = merged.slice(0, Math.min(loadLimits.localitiesPerCluster, room));
    leftOut.add(report.localities.length - placed.length + merged.length - localities.length);
    const { unhealthy: told = [], ...rest } = report;
    const unhealthy = told.filter(isShortHost).slice(0, Math.max(0, room - localities.length));
    leftOut.add(told.length - unhealthy.length);
    held.clusters.set(cluster, {
      ...rest,
      dropped: (known?.dropped ?? 0) + report.dropped,
      localities,
      reportedAtMs,
      ...(unhealthy.length === 0 ? {} : { unhealthy }),
    });
    held.checks ||= report.checksHosts === true;
    const now = 1 + localities.length + unhealthy.length;
    held.kept += now - before;
    kept += now - before;
    addTotals(report);
  };

  return {
    open(facts) {
      const held: Held = { facts, clusters: new Map(), kept: 0, reports: 0, reportedAtMs: undefined, checks: false };
      reporters.add(held);
      return {
        add(clusters, atMs) {
          held.reports++;
          held.reportedAtMs = atMs;
          for (const report of clusters) addCluster(held, report, atMs);
          if (held.checks) tellChecks();
        },
        [Symbol.dispose]: () => {
          if (!reporters.delete(held)) return;
          kept -= held.kept;
          if (held.checks) tellChecks();
        },
      };
    },
    list: () =>
      [...reporters].map(({ facts, clusters, reports, reportedAtMs }) => ({
        ...facts,
        reports,
        reportedAtMs,
        clusters: [...clusters.values()],
      })),
    onChecks: (tell) => {
      tellChecks = tell;
    },
  };
};

const isLong = (name: string): boolean => name.length > loadLimits.nameChars;
const isShort = ({ region, zone, subZone }: LocalityReport): boolean =>
  [region, zone, subZone].every((place) => place.length <= loadLimits.placeChars);

const isShortHost = ({ address, flags }: UnhealthyHost): boolean =>
  address.length <= loadLimits.nameChars && flags.length <= loadLimits.nameChars;

const keyOf = ({ region, zone, subZone, priority }: LocalityReport): string =>
  [region, zone, subZone, priority].join("\0");

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

/**
 * The client's side of load reporting as a pure machine: it says who it is, is told which clusters to report how often,
 * and sends what happened since its last report.
 */
import type { Random } from "@weft/core/world";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { type BackoffLimits, exponentialBackoff } from "./backoff.ts";
import { sendAllClustersFeature, withFeatures } from "./client-features.ts";
import {
  type ClusterReport,
  type LoadReport,
  type LoadWish,
  type Locality,
  type LocalityReport,
  unhealthyHostsMax,
} from "./load-reports.ts";

/** A host's counters as they stand, never reset but with the host. */
export interface HostLoad {
  readonly address: string;
  readonly locality: Locality;
  readonly priority: number;
  readonly issued: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly inProgress: number;
  /** Envoy's health flags where it is not used; absent where it is. */
  readonly flags?: string;
}

export interface ClusterLoad {
  readonly cluster: string;
  readonly service: string;
  readonly dropped: number;
  readonly hosts: readonly HostLoad[];
  /** The hosts are checked actively. */
  readonly checksHosts?: boolean;
}

export type ReporterInput =
  | { readonly kind: "opened" }
  | { readonly kind: "wish"; readonly wish: LoadWish }
  | { readonly kind: "tick" }
  | { readonly kind: "closed" };

export type ReporterOutput = { readonly kind: "open" } | { readonly kind: "send"; readonly report: LoadReport };

export interface LoadReporter {
  handle(input: ReporterInput, nowMs: number): readonly ReporterOutput[];
  /** When a `tick` is due. */
  deadlineMs(): number | undefined;
}

export interface LoadReporterOptions {
  readonly node: NodeJson;
  readonly random: Random;
  /** All clusters that may be reported. */
  readonly read: () => readonly ClusterLoad[];
  readonly backoff?: BackoffLimits;
}

const defaultBackoff: BackoffLimits = { baseMs: 500, maxMs: 30_000 };
/** A server that asks for more often, or for never, is given these. */
const intervalMinMs = 1_000;
const intervalMaxMs = 3_600_000;

type Counted = Pick<HostLoad, "issued" | "succeeded" | "failed">;
/** A cluster's counters at its last report on this stream. */
interface Baseline {
  readonly atMs: number;
  readonly dropped: number;
  readonly hosts: ReadonlyMap<string, Counted>;
}

const nothing: Counted = { issued: 0, succeeded: 0, failed: 0 };

/** Makes the machine; it asks for a stream with its first `tick`. */
export const createLoadReporter = (options: LoadReporterOptions): LoadReporter => {
  const backoff = exponentialBackoff(options.backoff ?? defaultBackoff, options.random);
  const node = withFeatures(options.node, [sendAllClustersFeature]);
  const baselines = new Map<string, Baseline>();
  let state: "idle" | "opening" | "open" = "idle";
  let openAtMs: number | undefined = Number.NEGATIVE_INFINITY;
  let wish: { readonly names: ReadonlySet<string> | "all"; readonly intervalMs: number } | undefined;
  let reportAtMs: number | undefined;

  const wanted = (): readonly ClusterLoad[] => {
    const names = wish?.names;
    return options.read().filter(({ cluster }) => names === "all" || names?.has(cluster));
  };
  const settle = (load: ClusterLoad, nowMs: number): void => {
    const hosts = new Map(load.hosts.map((host) => [host.address, host]));
    baselines.set(load.cluster, { atMs: nowMs, dropped: load.dropped, hosts });
  };
  const forgetOthers = (loads: readonly ClusterLoad[]): void => {
    const present = new Set(loads.map(({ cluster }) => cluster));
    for (const cluster of baselines.keys()) if (!present.has(cluster)) baselines.delete(cluster);
  };

  const take = ({ clusters, intervalMs }: LoadWish, nowMs: number): void => {
    backoff.reset();
    const names = clusters === "all" ? clusters : new Set(clusters);
    wish = { names, intervalMs: Math.min(intervalMaxMs, Math.max(intervalMinMs, intervalMs)) };
    reportAtMs = nowMs + wish.intervalMs;
    const loads = wanted();
    forgetOthers(loads);
    // What was before the server asked is none of its business.
    for (const load of loads) if (!baselines.has(load.cluster)) settle(load, nowMs);
  };

  const report = (nowMs: number): ReporterOutput => {
    const loads = wanted();
    forgetOthers(loads);
    const clusters = loads.map((load): ClusterReport => {
      // A cluster that came after the last report is counted from its beginning.
      const before = baselines.get(load.cluster) ?? {
        atMs: nowMs - (wish?.intervalMs ?? 0),
        dropped: 0,
        hosts: new Map(),
      };
      settle(load, nowMs);
      const { cluster, service } = load;
      const dropped = since(load.dropped, before.dropped);
      const counts = { dropped, intervalMs: nowMs - before.atMs, localities: localitiesOf(load, before) };
      const checks = load.checksHosts === true ? { checksHosts: true as const } : {};
      return { cluster, service, ...counts, ...unhealthyOf(load), ...checks };
    });
    reportAtMs = nowMs + (wish?.intervalMs ?? 0);
    return { kind: "send", report: { node: undefined, clusters } };
  };

  const tick = (nowMs: number): readonly ReporterOutput[] => {
    if (state === "idle" && openAtMs !== undefined && nowMs >= openAtMs) {
      state = "opening";
      openAtMs = undefined;
      return [{ kind: "open" }];
    }
    return state === "open" && reportAtMs !== undefined && nowMs >= reportAtMs ? [report(nowMs)] : [];
  };

  return {
    handle: (input, nowMs) => {
      switch (input.kind) {
        case "opened":
          if (state !== "opening") return [];
          state = "open";
          return [{ kind: "send", report: { node, clusters: [] } }];
        case "wish":
          if (state === "open") take(input.wish, nowMs);
          return [];
        case "tick":
          return tick(nowMs);
        case "closed":
          state = "idle";
          openAtMs = nowMs + backoff.next();
          reportAtMs = undefined;
          wish = undefined;
          baselines.clear();
          return [];
        default:
          return input satisfies never;
      }
    },
    deadlineMs: () => (state === "idle" ? openAtMs : reportAtMs),
  };
};

/** A counter that went back belongs to another host of that address. */
const since = (now: number, before: number): number => (now >= before ? now - before : now);

const unhealthyOf = ({ hosts }: ClusterLoad): Pick<ClusterReport, "unhealthy"> => {
  const unhealthy = hosts.flatMap(({ address, flags }) => (flags === undefined ? [] : [{ address, flags }]));
  return unhealthy.length === 0 ? {} : { unhealthy: unhealthy.slice(0, unhealthyHostsMax) };
};

const localitiesOf = ({ hosts }: ClusterLoad, before: Baseline): readonly LocalityReport[] => {
  const sums = new Map<string, LocalityReport>();
  for (const { address, locality, priority, inProgress, ...now } of hosts) {
    const { region, zone, subZone } = locality;
    const was = before.hosts.get(address) ?? nothing;
    const key = [region, zone, subZone, priority].join("\0");
    const sum = sums.get(key) ?? { region, zone, subZone, priority, ...nothing, inProgress: 0 };
    sums.set(key, {
      ...sum,
      issued: sum.issued + since(now.issued, was.issued),
      succeeded: sum.succeeded + since(now.succeeded, was.succeeded),
      failed: sum.failed + since(now.failed, was.failed),
      inProgress: sum.inProgress + inProgress,
    });
  }
  return [...sums.values()].filter(
    ({ issued, succeeded, failed, inProgress }) => issued + succeeded + failed + inProgress > 0,
  );
};

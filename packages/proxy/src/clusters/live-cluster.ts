/** The moving part of a cluster: its hosts, what may be picked among them, and what time does to them. */
import { formatAddress } from "@weft/core/address";
import type { PickHost } from "../balancers/balancer.ts";
import type { CompileTools } from "../compile/tools.ts";
import { differs } from "./assignment-change.ts";
import { createPickBuilder, type PickBuilder } from "./build-pick.ts";
import type { CircuitLimits, Cluster, Outcome } from "./cluster.ts";
import type { CompiledCluster } from "./compile-cluster.ts";
import { type ClusterCounts, localCounts } from "./counts.ts";
import { createEndpointSources, type EndpointSources } from "./endpoint-sources.ts";
import { type Assignment, compileAssignment, emptyAssignment } from "./endpoints.ts";
import { createForesight } from "./foresight.ts";
import { checkFlags, type Host } from "./host.ts";
import type { HostChange } from "./host-set.ts";
import { createHostTable, type HostTable } from "./host-table.ts";
import type { LbPolicy } from "./lb-policy.ts";
import { createOriginalHosts } from "./original-dst.ts";
import { createOutlierDetection, type OutlierDetection } from "./outlier-detection.ts";
import { takeBack } from "./outlier-ejection.ts";
import type { OutlierSettings } from "./outlier-settings.ts";
import { chooseTransport } from "./transport.ts";
import { createUpdateWindow } from "./update-window.ts";

type Members = "high" | "hosts" | "pick" | "foresee" | "transportOf" | "report" | "load" | "counters" | "wasDropped";
export type ClusterSettings = Omit<Cluster, Members> &
  Pick<CompiledCluster, "connectionKey" | "healthChecks"> &
  Required<Pick<Cluster, "highLimits">>;

export interface LiveOptions {
  readonly assignment: Assignment;
  readonly lb: LbPolicy;
  readonly checks: ChecksOptions;
  readonly outlier: OutlierSettings | undefined;
  readonly cleanupMs: number;
  readonly previous: CompiledCluster | undefined;
  readonly tools: CompileTools;
}

/** What active checks mean for hosts. */
export interface ChecksOptions {
  readonly checks: boolean;
  /** A host that xDS no longer names stays while it passes. */
  readonly outlives: boolean;
  readonly ignoresUnchecked: boolean;
}

/** Hosts are kept only where their connections may be used as before. */
const inherit = (previous: CompiledCluster | undefined, connectionKey: string): Map<string, Host> =>
  previous && previous.connectionKey === connectionKey && previous.discovery.kind !== "dynamic"
    ? new Map(previous.hosts().map((host) => [host.address, host]))
    : new Map();

const never = Number.POSITIVE_INFINITY;

/** The counts of the cluster it replaces, else new ones. */
const countsFor = ({ name }: ClusterSettings, { previous, tools }: LiveOptions): ClusterCounts =>
  previous?.counts ?? (tools.counts ?? localCounts)(name);

const countOutcome = ({ stats }: Host, outcome: Outcome): void => {
  if (outcome.kind === "response") {
    if (outcome.status < 500) stats.rqSuccess++;
    else stats.rqError++;
  } else if (outcome.kind === "localOrigin") {
    if (outcome.cause === "connect-failure" || outcome.cause === "connect-timeout") stats.cxConnectFail++;
    else stats.rqError++;
    if (outcome.cause === "timeout") stats.rqTimeout++;
  }
};

/** A host that xDS names no more stays while its checks pass, unless the cluster minds xDS alone. */
const staysWhileChecked =
  ({ checks, outlives }: ChecksOptions) =>
  (host: Host): boolean =>
    checks &&
    outlives &&
    host.check?.disabled !== true &&
    host.health !== "unhealthy" &&
    (host.counts.checked & checkFlags.failed) === 0;

interface TableParts {
  readonly sources: EndpointSources;
  readonly counts: ClusterCounts;
  readonly outlier: () => OutlierDetection | undefined;
  readonly picks: PickBuilder;
  /** False while it takes the place of another cluster, whose hosts stay only where they are named. */
  readonly begun: () => boolean;
}

const createTable = (
  settings: ClusterSettings,
  { tools, previous, checks }: LiveOptions,
  { counts, outlier, picks, begun }: TableParts,
): HostTable =>
  createHostTable(inherit(previous, settings.connectionKey), {
    counters: counts.counters,
    countsOf: (address) => counts.host(address, settings.connectionKey),
    onRemoved: (host) => {
      outlier()?.forget(host);
      host.counts.release();
    },
    onOut: (host) => {
      host.pool?.[Symbol.dispose]();
      host.pool = undefined;
      for (const tie of [...(host.ties ?? [])]) tie.close();
    },
    stays: (host) => begun() && staysWhileChecked(checks)(host),
    nowMs: () => tools.clock.nowMs(),
    build: picks.build,
  });

/**
 * A host that is to be checked is not trusted before it was; a check that is none any more says nothing. Gives whether
 * that changed what is held of any of them.
 */
const beginChecked = (
  hosts: readonly Host[],
  which: "new" | "known",
  { checks, ignoresUnchecked }: ChecksOptions,
): boolean => {
  const unknown = checkFlags.failed | (ignoresUnchecked ? checkFlags.pending : 0);
  let changed = false;
  for (const { counts, check } of hosts) {
    const before = counts.checked;
    const flags = !checks || check?.disabled ? 0 : which === "new" ? unknown : before;
    if (flags === before) continue;
    counts.checked = flags;
    changed = true;
  }
  return changed;
};

/** Hosts of the replaced cluster that this one does not have: flagged, and given back for draining. */
const takeOver = (previous: CompiledCluster | undefined, table: HostTable, counts: ClusterCounts): readonly Host[] => {
  const hosts = table.byAddress();
  const replaced = (previous?.hosts() ?? []).filter((host) => hosts.get(host.address) !== host);
  for (const host of replaced) {
    if (!host.removed) retire(host, counts);
    host.removed = true;
  }
  return replaced;
};

const retire = (host: Host, counts: ClusterCounts): void => {
  takeBack(host, counts);
  host.counts.release();
};

/** Finds out, at the price of one read, that another thread ejected a host or took one back. */
const followHealth = (health: { readonly epoch: number }, changed: () => void): (() => void) => {
  let seen = health.epoch;
  return () => {
    const { epoch } = health;
    if (epoch === seen) return;
    seen = epoch;
    changed();
  };
};

const nobody = (): undefined => undefined;

const isLeft = ({ counts }: Host): boolean => (counts.checked & checkFlags.leaving) !== 0;

const drain = (hosts: readonly Host[]): void => {
  for (const host of hosts) host.pool?.[Symbol.dispose]();
};

/** With the hosts, all connections go. */
const closeAll = (change: HostChange, hosts: readonly Host[]): HostChange => {
  if (change.added.length + change.removed.length === 0) return change;
  for (const host of hosts) {
    host.pool?.[Symbol.dispose]();
    host.pool = undefined;
  }
  return change;
};

/** All of the cluster but its limits and what is in use against them; what of it moves is read through. */
const highView = (cluster: Cluster, limits: CircuitLimits, counts: ClusterCounts): Cluster =>
  Object.create(cluster, {
    isHigh: { value: true },
    limits: { value: limits },
    load: { value: counts.high() },
  });

/** Puts a cluster's settings and its moving parts together. */
export const createLiveCluster = (settings: ClusterSettings, options: LiveOptions): CompiledCluster => {
  const { previous, tools, cleanupMs } = options;
  const { discovery } = settings;
  const counts = countsFor(settings, options);
  const { counters, load, health } = counts;
  const original = discovery.kind === "originalDst" || discovery.kind === "dynamic";
  const nowMs = tools.clock.nowMs();
  const sources = createEndpointSources(discovery, options.assignment, previous);
  const window = createUpdateWindow(options.lb.mergeWindowMs, counts.sweeps ? tools.updates : undefined);
  let outlier: OutlierDetection | undefined;
  let begun = false;
  const picks = createPickBuilder({
    ...{ lb: options.lb, counters, tools },
    active: () => load.requests,
    assignment: () => sources.discovered().assignment,
  });
  const table = createTable(settings, options, { sources, counts, outlier: () => outlier, picks, begun: () => begun });

  const settle = (): HostChange => {
    const change = table.settle(sources.endpoints());
    if (counts.sweeps) {
      const known = beginChecked(table.list(), "known", options.checks);
      if (beginChecked([...change.added, ...change.moved], "new", options.checks) || known) {
        health?.bump();
        table.changed();
      }
    }
    return options.lb.closesOnChange ? closeAll(change, table.list()) : change;
  };
  /** Health has changed, here or in another thread. */
  const looked = (): void => {
    if (window.health(tools.clock.nowMs())) table.changed();
    else table.watch();
    const gone = table.list().some((host) => isLeft(host) && !staysWhileChecked(options.checks)(host));
    if (gone) drain(settle().removed);
  };
  const changed = (): void => {
    health?.bump();
    looked();
  };
  if (options.outlier) {
    outlier = createOutlierDetection(options.outlier, {
      hosts: table.list,
      counters,
      load,
      // Hosts that connections ask for are known to their thread only.
      sweeps: counts.sweeps || original,
      random: tools.random,
      nowMs,
      onChange: changed,
    });
  }
  if (!original) settle();
  else if (counts.sweeps) beginChecked(table.list(), "known", options.checks);
  begun = true;
  const replaced = takeOver(previous, table, counts);
  if (!outlier) for (const host of table.list()) takeBack(host, counts);
  table.changed();
  const follow = health && followHealth(health, looked);
  const pick: PickHost = follow
    ? (request) => {
        follow();
        return table.pick(request);
      }
    : table.pick;
  const staleAfter = ({ staleAfterMs }: Assignment, atMs: number): number => atMs + (staleAfterMs ?? never);
  let staleAtMs = discovery.kind === "eds" ? staleAfter(sources.discovered().assignment, nowMs) : never;
  const assign = (assignment: Assignment): HostChange => {
    sources.assign(assignment);
    return settle();
  };
  const { observe } = options.lb;
  settings.times.observer = observe && ((host, tookMs) => observe(host, tookMs, tools.clock.nowMs()));
  const foresight = settings.preconnect.predictiveRatio > 1 && !options.lb.byHash ? createForesight(pick) : undefined;
  const onDemand = discovery.kind === "originalDst" ? createOriginalHosts(table, cleanupMs, nowMs) : undefined;
  const names = discovery.kind === "dynamic" ? tools.openNames?.(discovery.names, table) : undefined;
  const defaultPort = settings.defaultTransport.kind === "tls" ? 443 : 80;

  let high: Cluster | undefined;
  const cluster: CompiledCluster = {
    ...settings,
    high: () => {
      high ??= highView(cluster, settings.highLimits, counts);
      return high;
    },
    load,
    counters,
    counts,
    replaced,
    get warm() {
      return sources.warm();
    },
    get discovered() {
      return sources.discovered();
    },
    hosts: follow
      ? () => {
          follow();
          return table.list();
        }
      : table.list,
    pick: foresight?.pick ?? pick,
    foresee: foresight?.foresee ?? nobody,
    transportOf: (host) => chooseTransport(host, settings.tls, settings.defaultTransport),
    report: (host, outcome, atMs) => {
      countOutcome(host, outcome);
      if (outlier && !host.removed) outlier.report(host, outcome, atMs);
    },
    setEndpoints: (json) => {
      const next = compileAssignment(json, "");
      const atMs = tools.clock.nowMs();
      staleAtMs = staleAfter(next, atMs);
      if (sources.heard() && differs(sources.discovered().assignment, next)) window.assigned();
      return assign(next);
    },
    setResolved: (name, addresses) => {
      sources.resolve(formatAddress(name), addresses);
      const change = settle();
      if (change.added.length + change.removed.length > 0) window.members(tools.clock.nowMs());
      return change;
    },
    release: () => {
      for (const host of table.list()) if (!host.removed) retire(host, counts);
      counts.release();
    },
    originalHost: (address) => onDemand?.host(address),
    dynamicHost: (name, onFound) => (names === undefined ? "unresolved" : names.find(name, defaultPort, onFound)),
    closeNames: () => {
      names?.close();
      picks.close();
    },
    wasDropped: picks.wasDropped,
    refresh: table.changed,
    setChecked: (host, flags) => {
      const before = host.counts.checked;
      if (before === flags) return;
      // Whether the host leaves is not for checks to say, and may have been said meanwhile.
      host.counts.mark(flags & ~checkFlags.leaving, before & ~flags & ~checkFlags.leaving);
      changed();
    },
    passedCheck: (host) => outlier?.passed(host),
    tick: (atMs) => {
      outlier?.tick(atMs);
      if (atMs >= staleAtMs) {
        staleAtMs = never;
        counters.assignmentStale++;
        return assign(emptyAssignment).removed;
      }
      if (window.due(atMs)) table.changed();
      return onDemand?.tick(atMs) ?? names?.tick(atMs) ?? [];
    },
    deadlineMs: () => {
      const next = Math.min(
        outlier?.deadlineMs() ?? never,
        staleAtMs,
        window.deadlineMs(),
        onDemand?.deadlineMs() ?? names?.deadlineMs() ?? never,
      );
      return next === never ? undefined : next;
    },
  };
  return cluster;
};

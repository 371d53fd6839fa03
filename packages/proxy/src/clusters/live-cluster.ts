/** The moving part of a cluster: its hosts, what may be picked among them, and what time does to them. */
import { formatAddress } from "@weft/core/address";
import type { PickHost } from "../balancers/balancer.ts";
import type { CompileTools } from "../compile/tools.ts";
import { createPickBuilder, type PickBuilder } from "./build-pick.ts";
import type { CircuitLimits, Cluster, Outcome } from "./cluster.ts";
import type { CompiledCluster, Discovered } from "./compile-cluster.ts";
import { type ClusterCounts, localCounts } from "./counts.ts";
import { type Assignment, compileAssignment, type EndpointSpec, emptyAssignment } from "./endpoints.ts";
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

/** Resolved addresses in place of names; a name not resolved yet has no hosts. */
const resolve = (
  endpoints: readonly EndpointSpec[],
  resolved: ReadonlyMap<string, readonly string[]>,
  firstOnly: boolean,
): readonly EndpointSpec[] =>
  endpoints.flatMap((spec) => {
    const { target } = spec;
    if (!spec.unresolved || target.kind !== "ip") return [spec];
    const addresses = resolved.get(formatAddress(target)) ?? [];
    return (firstOnly ? addresses.slice(0, 1) : addresses).map((host) => ({
      ...spec,
      hostname: spec.hostname || target.host,
      target: { kind: "ip" as const, host, port: target.port },
    }));
  });

/** Hosts are kept only where their connections may be used as before. */
const inherit = (previous: CompiledCluster | undefined, connectionKey: string): Map<string, Host> =>
  previous && previous.connectionKey === connectionKey && previous.discovery.kind !== "dynamic"
    ? new Map(previous.hosts().map((host) => [host.address, host]))
    : new Map();

const never = Number.POSITIVE_INFINITY;

const nothingDiscovered: Discovered = { assignment: emptyAssignment, resolved: new Map() };

/** What the replaced cluster had found out, where the new one would ask the same source. */
const inheritDiscovered = (previous: CompiledCluster | undefined, discovery: Cluster["discovery"]): Discovered => {
  if (!previous) return nothingDiscovered;
  if (discovery.kind === "strictDns" || discovery.kind === "logicalDns") {
    return { assignment: emptyAssignment, resolved: previous.discovered.resolved };
  }
  const same =
    discovery.kind === "eds" &&
    previous.discovery.kind === "eds" &&
    previous.discovery.serviceName === discovery.serviceName;
  return same ? previous.discovered : nothingDiscovered;
};

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

/** The sources of endpoints: what was assigned, what DNS made of its names. */
interface Sources {
  readonly discovered: () => Discovered;
  readonly endpoints: () => readonly EndpointSpec[];
  readonly assign: (assignment: Assignment) => void;
  readonly resolve: (name: string, addresses: readonly string[]) => void;
  readonly warm: () => boolean;
}

const createSources = ({ discovery }: ClusterSettings, { previous, assignment: own }: LiveOptions): Sources => {
  const inherited = inheritDiscovered(previous, discovery);
  const resolved = new Map(inherited.resolved);
  const dns = discovery.kind === "strictDns" || discovery.kind === "logicalDns" ? discovery : undefined;
  let assignment = discovery.kind === "eds" ? inherited.assignment : own;
  let warm =
    discovery.kind === "static" ||
    discovery.kind === "originalDst" ||
    discovery.kind === "dynamic" ||
    dns?.names.length === 0 ||
    (previous?.warm === true && inherited !== nothingDiscovered);
  return {
    discovered: () => ({ assignment, resolved }),
    endpoints: () => resolve(assignment.endpoints, resolved, dns?.kind === "logicalDns"),
    assign: (next) => {
      assignment = next;
      warm = true;
    },
    resolve: (name, addresses) => {
      resolved.set(name, addresses);
      warm = true;
    },
    warm: () => warm,
  };
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
  readonly sources: Sources;
  readonly counts: ClusterCounts;
  readonly outlier: () => OutlierDetection | undefined;
  readonly picks: PickBuilder;
}

const createTable = (
  settings: ClusterSettings,
  { tools, previous, checks }: LiveOptions,
  { counts, outlier, picks }: TableParts,
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
    stays: staysWhileChecked(checks),
    nowMs: () => tools.clock.nowMs(),
    build: picks.build,
  });

/** A host that is to be checked is not trusted before it was; a check that is none any more says nothing. */
const beginChecked = (
  hosts: readonly Host[],
  which: "new" | "known",
  { checks, ignoresUnchecked }: ChecksOptions,
): void => {
  for (const host of hosts) {
    const { counts, check } = host;
    if (!checks || check?.disabled) {
      if (counts.checked !== 0) counts.checked = 0;
    } else if (which === "new") {
      counts.checked = checkFlags.failed | (ignoresUnchecked ? checkFlags.pending : 0);
    }
  }
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
  const sources = createSources(settings, options);
  let outlier: OutlierDetection | undefined;
  const picks = createPickBuilder({
    ...{ lb: options.lb, counters, tools },
    active: () => load.requests,
    assignment: () => sources.discovered().assignment,
  });
  const table = createTable(settings, options, { sources, counts, outlier: () => outlier, picks });
  const settle = (): HostChange => {
    const change = table.settle(sources.endpoints());
    if (counts.sweeps && change.added.length > 0) {
      beginChecked(change.added, "new", options.checks);
      table.changed();
    }
    return options.lb.closesOnChange ? closeAll(change, table.list()) : change;
  };
  /** Health has changed, here or in another thread. */
  const looked = (): void => {
    table.changed();
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
  if (counts.sweeps) beginChecked(table.list(), "known", options.checks);
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
  const staleAfter = (atMs: number): number => atMs + (sources.discovered().assignment.staleAfterMs ?? never);
  let staleAtMs = discovery.kind === "eds" ? staleAfter(nowMs) : never;
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
      sources.assign(compileAssignment(json, ""));
      staleAtMs = staleAfter(tools.clock.nowMs());
      return settle();
    },
    setResolved: (name, addresses) => {
      sources.resolve(formatAddress(name), addresses);
      return settle();
    },
    release: () => {
      for (const host of table.list()) if (!host.removed) retire(host, counts);
      counts.release();
    },
    originalHost: (address) => onDemand?.host(address),
    dynamicHost: (name, onFound) => (names === undefined ? "unresolved" : names.find(name, defaultPort, onFound)),
    closeNames: () => names?.close(),
    wasDropped: picks.wasDropped,
    refresh: looked,
    setChecked: (host, flags) => {
      if (host.counts.checked === flags) return;
      host.counts.checked = flags;
      changed();
    },
    passedCheck: (host) => outlier?.passed(host),
    tick: (atMs) => {
      outlier?.tick(atMs);
      if (atMs >= staleAtMs) {
        staleAtMs = never;
        counters.assignmentStale++;
        sources.assign(emptyAssignment);
        return settle().removed;
      }
      const removed = onDemand?.tick(atMs) ?? names?.tick(atMs) ?? [];
      for (const host of removed) outlier?.forget(host);
      return removed;
    },
    deadlineMs: () => {
      const next = Math.min(
        outlier?.deadlineMs() ?? never,
        staleAtMs,
        onDemand?.deadlineMs() ?? names?.deadlineMs() ?? never,
      );
      return next === never ? undefined : next;
    },
  };
  return cluster;
};

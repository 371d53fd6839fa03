/** The moving part of a cluster: its hosts, what may be picked among them, and what time does to them. */
import { formatAddress } from "@weft/core/address";
import type { PickHost } from "../balancers/balancer.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { Cluster, Outcome } from "./cluster.ts";
import type { CompiledCluster, Discovered } from "./compile-cluster.ts";
import { type ClusterCounts, localCounts } from "./counts.ts";
import { buildPick } from "./eligible.ts";
import { type Assignment, compileAssignment, type EndpointSpec, emptyAssignment } from "./endpoints.ts";
import { createForesight } from "./foresight.ts";
import type { Host } from "./host.ts";
import { createHostTable, type HostTable } from "./host-table.ts";
import type { LbPolicy } from "./lb-policy.ts";
import { createOriginalHosts } from "./original-dst.ts";
import { createOutlierDetection, type OutlierDetection } from "./outlier-detection.ts";
import { takeBack } from "./outlier-ejection.ts";
import type { OutlierSettings } from "./outlier-settings.ts";
import { chooseTransport } from "./transport.ts";

type Members = "hosts" | "pick" | "foresee" | "transportOf" | "report" | "load" | "counters";
export type ClusterSettings = Omit<Cluster, Members> & { readonly connectionKey: string };

export interface LiveOptions {
  readonly assignment: Assignment;
  readonly lb: LbPolicy;
  readonly outlier: OutlierSettings | undefined;
  readonly cleanupMs: number;
  readonly previous: CompiledCluster | undefined;
  readonly tools: CompileTools;
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
      target: { kind: "ip" as const, host, port: target.port },
    }));
  });

/** Hosts are kept only where their connections may be used as before. */
const inherit = (previous: CompiledCluster | undefined, connectionKey: string): Map<string, Host> =>
  previous && previous.connectionKey === connectionKey
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

const createTable = (
  settings: ClusterSettings,
  { lb, tools, previous }: LiveOptions,
  {
    sources,
    counts,
    outlier,
  }: { sources: Sources; counts: ClusterCounts; outlier: () => OutlierDetection | undefined },
): HostTable => {
  const { counters } = counts;
  return createHostTable(inherit(previous, settings.connectionKey), {
    counters,
    countsOf: (address) => counts.host(address, settings.connectionKey),
    onRemoved: (host) => {
      outlier()?.forget(host);
      host.counts.release();
    },
    build: (hosts) => {
      const { overprovisioning, localityWeights } = sources.discovered().assignment;
      return buildPick(hosts, {
        build: lb.build,
        byHash: lb.byHash,
        random: tools.random,
        panicThreshold: lb.panicThreshold,
        overprovisioning,
        localityWeights: lb.localityWeighted ? localityWeights : undefined,
        onPanic: () => {
          counters.lbHealthyPanic++;
        },
      });
    },
  });
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

/** Puts a cluster's settings and its moving parts together. */
export const createLiveCluster = (settings: ClusterSettings, options: LiveOptions): CompiledCluster => {
  const { previous, tools, cleanupMs } = options;
  const { discovery } = settings;
  const counts = countsFor(settings, options);
  const { counters, load, health } = counts;
  const original = discovery.kind === "originalDst";
  const nowMs = tools.clock.nowMs();
  const sources = createSources(settings, options);
  let outlier: OutlierDetection | undefined;
  const table = createTable(settings, options, { sources, counts, outlier: () => outlier });
  const changed = (): void => {
    health?.bump();
    table.changed();
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
  if (!original) table.settle(sources.endpoints());
  const replaced = takeOver(previous, table, counts);
  if (!outlier) for (const host of table.list()) takeBack(host, counts);
  table.changed();
  const follow = health && followHealth(health, table.changed);
  const pick: PickHost = follow
    ? (request) => {
        follow();
        return table.pick(request);
      }
    : table.pick;
  const foresight = settings.preconnect.predictiveRatio > 1 && !options.lb.byHash ? createForesight(pick) : undefined;
  const onDemand = original ? createOriginalHosts(table, cleanupMs, nowMs) : undefined;

  return {
    ...settings,
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
      return table.settle(sources.endpoints());
    },
    setResolved: (name, addresses) => {
      sources.resolve(formatAddress(name), addresses);
      return table.settle(sources.endpoints());
    },
    release: () => {
      for (const host of table.list()) if (!host.removed) retire(host, counts);
      counts.release();
    },
    originalHost: (address) => onDemand?.host(address),
    tick: (atMs) => {
      outlier?.tick(atMs);
      const removed = onDemand?.tick(atMs) ?? [];
      for (const host of removed) outlier?.forget(host);
      return removed;
    },
    deadlineMs: () => {
      const next = Math.min(outlier?.deadlineMs() ?? never, onDemand?.deadlineMs() ?? never);
      return next === never ? undefined : next;
    },
  };
};

import { formatAddress } from "@weft/core/address";
import type { Logger } from "@weft/core/world";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { type CompiledCluster, prepareCluster } from "../clusters/compile-cluster.ts";
import { compileAssignment, refuseNames } from "../clusters/endpoints.ts";
import type { Host } from "../clusters/host.ts";
import type { HostChange } from "../clusters/host-set.ts";
import type { CompileTools } from "../compile/tools.ts";
import { dnsCacheCounters } from "../dns/dns-cache-counters.ts";
import { createDynamicHosts } from "../dns/dynamic-hosts.ts";
import { keepResolved } from "../dns/keep-resolved.ts";
import type { ResolveName } from "../dns/resolve-name.ts";
import { createHealthChecker, type HealthChecker, type HealthCheckerTools } from "../health-checks/health-checker.ts";
import type { Stats } from "../observe/stats.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";

export interface ClusterTableTools extends CompileTools {
  readonly wheel: TimerWheel;
  readonly resolve: ResolveName;
  readonly log: Logger;
  /** The name of the cluster that the proxy is itself of. */
  readonly localCluster?: string | undefined;
  /** What active health checks are made with; absent where none are. */
  readonly checks?: () => HealthCheckerTools;
  /** What checks found, as `checkFlags`, of a host of a cluster before that was put in force. */
  readonly checkedAhead?: (cluster: string, address: string) => number | undefined;
  readonly stats: Pick<Stats, "counter" | "gauge">;
  /** The addresses of a cluster's names that were found out before it was put in force. */
  readonly resolvedAhead?: (cluster: string) => ReadonlyMap<string, readonly string[]> | undefined;
  /** One of the cluster's names has its first answer, a good one or not. */
  readonly onAnswered?: (name: string) => void;
  /** The cluster is in force, and its names have been found out where it has some. */
  readonly onWarm?: (name: string) => void;
}

/** Time's work of one cluster and its names. */
interface Upkeep {
  readonly timer: WheelTimer;
  /** Checks its hosts, where it asks for that and this thread does that. */
  readonly checker: HealthChecker | undefined;
  readonly names: readonly WheelTimer[];
  /** One of its names has an answer, where it has names. */
  answered: boolean;
}

/** The clusters of now by name, their endpoints, and what keeps them true: EDS, DNS, outlier sweeps. */
export class ClusterTable {
  private readonly tools: ClusterTableTools;
  private readonly clusters = new Map<string, CompiledCluster>();
  /** By EDS service name; kept also before a cluster asks for it. */
  private readonly assignments = new Map<string, ClusterLoadAssignmentJson>();
  /** Names of the clusters that take an assignment, by its name. */
  private readonly takers = new Map<string, Set<string>>();
  private readonly upkeep = new Map<string, Upkeep>();
  /** Compiled, and not in force yet. */
  private readonly compiledAhead = new WeakMap<ClusterJson, ReturnType<typeof prepareCluster>>();

  constructor(tools: ClusterTableTools) {
    const { stats } = tools;
    this.tools = {
      ...tools,
      openNames: (names, table) =>
        createDynamicHosts(names, {
          ...tools,
          table,
          counters: dnsCacheCounters(stats, names.name),
        }),
    };
  }

  get(name: string): CompiledCluster | undefined {
    return this.clusters.get(name);
  }
  list(): readonly CompiledCluster[] {
    return [...this.clusters.values()];
  }

  /** Compiles it for `prepare` to find, which says what is wrong with it. */
  ahead(json: ClusterJson): void {
    try {
      this.compiledAhead.set(json, prepareCluster(json, this.tools));
    } catch {
      this.compiledAhead.delete(json);
    }
  }
  /** Throws ConfigError for one that cannot be taken; what it gives back puts it in force. Touches nothing. */
  prepare(name: string, json: ClusterJson): () => void {
    const make = this.compiledAhead.get(json) ?? prepareCluster(json, this.tools);
    return () => {
      this.compiledAhead.delete(json);
      this.put(name, make);
    };
  }
  checkEndpoints(json: ClusterLoadAssignmentJson): void {
    refuseNames(compileAssignment(json, ""), "endpoints");
  }

  private put(name: string, make: ReturnType<typeof prepareCluster>): void {
    const previous = this.clusters.get(name);
    const cluster = make(previous);
    this.stopUpkeep(name);
    if (previous !== undefined) this.dropTaker(serviceName(previous), name);
    previous?.closeNames();
    this.clusters.set(name, cluster);
    if (cluster.discovery.kind === "eds") this.addTaker(serviceName(cluster), name);
    drainHosts(cluster.replaced);
    const assignment = this.assignments.get(serviceName(cluster));
    if (cluster.discovery.kind === "eds" && assignment !== undefined)
      drainHosts(cluster.setEndpoints(assignment).removed);
    this.useResolved(cluster);
    const known = new Set(previous?.hosts());
    this.useFindings(
      cluster,
      cluster.hosts().filter((host) => !known.has(host)),
    );
    this.startUpkeep(name, cluster);
    this.tellOthers(name);
    if (!isNamed(cluster)) this.tools.onWarm?.(name);
  }

  /** What a new cluster's names are is known where its hosts were checked before. */
  private useResolved(cluster: CompiledCluster): void {
    const { discovery, discovered } = cluster;
    if (discovery.kind !== "strictDns" && discovery.kind !== "logicalDns") return;
    const resolved = this.tools.resolvedAhead?.(cluster.name);
    for (const name of discovery.names) {
      const addresses = resolved?.get(formatAddress(name));
      if (addresses !== undefined && !discovered.resolved.has(formatAddress(name)))
        drainHosts(cluster.setResolved(name, addresses).removed);
    }
  }

  /** Hosts that are new here and were checked before are not unknown. */
  private useFindings(cluster: CompiledCluster, hosts: readonly Host[]): void {
    const { checkedAhead } = this.tools;
    if (checkedAhead === undefined || cluster.healthChecks.length === 0 || !cluster.counts.sweeps) return;
    for (const { address, counts } of hosts) counts.checked = checkedAhead(cluster.name, address) ?? counts.checked;
    if (hosts.length > 0) cluster.refresh();
  }

  /**
   * Whether each host of that cluster was checked once, where its hosts are checked here. Of one with names the hosts
   * are known when one name has an answer, as in Envoy.
   */
  isFirstRoundOver(name: string): boolean {
    const upkeep = this.upkeep.get(name);
    return upkeep === undefined || (upkeep.answered && (upkeep.checker?.isFirstRoundOver ?? true));
  }

  /** What the others route by zone by has changed, where this is the proxy's own cluster. */
  private tellOthers(name: string): void {
    if (name !== this.tools.localCluster) return;
    for (const cluster of this.clusters.values()) if (cluster.name !== name) cluster.refresh();
  }

  delete(name: string): void {
    const cluster = this.clusters.get(name);
    if (cluster === undefined) return;
    this.stopUpkeep(name);
    this.clusters.delete(name);
    this.dropTaker(serviceName(cluster), name);
    cluster.closeNames();
    cluster.release();
    for (const host of cluster.hosts()) host.removed = true;
    drainHosts(cluster.hosts());
    this.tellOthers(name);
  }

  setEndpoints(name: string, json: ClusterLoadAssignmentJson | undefined): void {
    if (json === undefined) this.assignments.delete(name);
    else this.assignments.set(name, json);
    const endpoints = json ?? { clusterName: name, endpoints: [] };
    for (const taker of this.takers.get(name) ?? []) {
      const cluster = this.clusters.get(taker);
      if (cluster === undefined) continue;
      const { added, removed } = cluster.setEndpoints(endpoints);
      drainHosts(removed);
      this.useFindings(cluster, added);
      this.upkeep.get(taker)?.checker?.sync();
      this.tellOthers(taker);
      this.rearm(cluster);
    }
  }

  /** A report of an outcome may have made upkeep due sooner. */
  rearm(cluster: CompiledCluster): void {
    const upkeep = this.upkeep.get(cluster.name);
    const deadline = cluster.deadlineMs();
    const { wheel } = this.tools;
    if (upkeep === undefined || deadline === undefined) return;
    wheel.armAt(upkeep.timer, Math.min(deadline, wheel.nowMs() + upkeepMs));
  }

  close(): void {
    for (const name of [...this.upkeep.keys()]) this.stopUpkeep(name);
    for (const cluster of this.clusters.values()) drainHosts(cluster.hosts());
  }

  private addTaker(service: string, name: string): void {
    const takers = this.takers.get(service);
    if (takers === undefined) this.takers.set(service, new Set([name]));
    else takers.add(name);
  }

  private dropTaker(service: string, name: string): void {
    const takers = this.takers.get(service);
    takers?.delete(name);
    if (takers?.size === 0) this.takers.delete(service);
  }

  private startUpkeep(name: string, cluster: CompiledCluster): void {
    const { wheel } = this.tools;
    const timer: WheelTimer = new WheelTimer(
      {
        onTimer: () => {
          const { assignment } = cluster.discovered;
          const removed = cluster.tick(wheel.nowMs());
          drainHosts(removed);
          checker?.sync();
          if (removed.length > 0 || cluster.discovered.assignment !== assignment) this.tellOthers(name);
          wheel.armAt(timer, Math.min(cluster.deadlineMs() ?? Number.POSITIVE_INFINITY, wheel.nowMs() + upkeepMs));
        },
      },
      0,
    );
    const checker = this.startChecks(cluster);
    const upkeep: Upkeep = { timer, checker, names: this.resolveNames(cluster), answered: hasNoNames(cluster) };
    this.upkeep.set(name, upkeep);
    wheel.arm(timer, upkeepMs);
  }

  private resolveNames(cluster: CompiledCluster): readonly WheelTimer[] {
    const { discovery } = cluster;
    if (discovery.kind !== "strictDns" && discovery.kind !== "logicalDns") return [];
    const target = {
      cluster,
      settings: discovery,
      current: () => this.clusters.get(cluster.name) === cluster,
      onChange: ({ added, removed }: HostChange) => {
        drainHosts(removed);
        this.upkeep.get(cluster.name)?.checker?.sync();
        if (added.length + removed.length > 0) this.tellOthers(cluster.name);
        this.tools.onWarm?.(cluster.name);
      },
      onAnswered: () => {
        const upkeep = this.upkeep.get(cluster.name);
        if (upkeep === undefined || upkeep.answered) return;
        upkeep.answered = true;
        this.tools.onAnswered?.(cluster.name);
      },
    };
    return discovery.names.map((name) => keepResolved(target, name, this.tools));
  }

  /** One thread of the process checks; the others see what it finds. */
  private startChecks(cluster: CompiledCluster): HealthChecker | undefined {
    const [settings] = cluster.healthChecks;
    const tools = this.tools.checks?.();
    if (settings === undefined || tools === undefined || !cluster.counts.sweeps) return undefined;
    return createHealthChecker(cluster, settings, tools);
  }

  private stopUpkeep(name: string): void {
    const upkeep = this.upkeep.get(name);
    if (upkeep === undefined) return;
    upkeep.timer.disarm();
    upkeep.checker?.[Symbol.dispose]();
    for (const timer of upkeep.names) timer.disarm();
    this.upkeep.delete(name);
  }
}

/** Outlier sweeps become due by outcomes nobody tells the table of, so each cluster is looked at this often. */
const upkeepMs = 1000;

/** Its hosts are those that names are resolved to. */
const isNamed = ({ discovery: { kind } }: CompiledCluster): boolean => kind === "strictDns" || kind === "logicalDns";

const hasNoNames = ({ discovery }: CompiledCluster): boolean =>
  (discovery.kind !== "strictDns" && discovery.kind !== "logicalDns") || discovery.names.length === 0;

const serviceName = (cluster: CompiledCluster): string =>
  cluster.discovery.kind === "eds" ? cluster.discovery.serviceName || cluster.name : "";

const drainHosts = (hosts: readonly Host[]): void => {
  for (const host of hosts) host.pool?.[Symbol.dispose]();
};

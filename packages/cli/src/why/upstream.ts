/** Whom a cluster would choose among: by the code that puts its pick together. */
import type { Host } from "@weft/proxy/clusters/host";
import { compileLbPolicy } from "@weft/proxy/clusters/lb-policy";
import { priorityLoad } from "@weft/proxy/clusters/priority-load";
import { sortHosts } from "@weft/proxy/clusters/priority-sets";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { OfflineCluster } from "./offline-proxy.ts";

export interface PriorityShare {
  readonly priority: number;
  /** Percent of requests that go to its healthy and to its degraded hosts. */
  readonly percent: number;
  readonly healthy: number;
  readonly total: number;
  /** So few are healthy that all are used. */
  readonly panics: boolean;
}

export interface Upstream {
  readonly priorities: readonly PriorityShare[];
  readonly eligible: readonly Host[];
  /** The host that the request's hash leads to. */
  readonly byHash: Host | undefined;
}

/** `hash` is what the route hashes of the request, where it does. */
export const upstreamOf = (json: ClusterJson, { cluster }: OfflineCluster, hash: bigint | undefined): Upstream => {
  const lb = compileLbPolicy(json);
  const { localityWeights, overprovisioning, weightedHealth } = cluster.discovered.assignment;
  const weights = lb.localityWeighted ? localityWeights : new Map<string, number>();
  const hosts = cluster.hosts();
  const sets = sortHosts(hosts, { localityWeights: weights, local: undefined, weighted: weightedHealth });
  const load = priorityLoad(sets, { overprovisioning, panicThreshold: lb.panicThreshold });
  const eligible = new Set<Host>();
  const priorities = sets.map((set, priority): PriorityShare => {
    const [healthy = 0, degraded = 0] = [load.healthy[priority], load.degraded[priority]];
    const panics = load.panic[priority] === true;
    const weighs = (all: readonly Host[]): readonly Host[] =>
      lb.localityWeighted ? all.filter((host) => weightOf(sets[priority]?.localities ?? [], host) > 0) : all;
    if (healthy > 0) for (const host of panics ? set.hosts : weighs(set.healthyHosts)) eligible.add(host);
    if (degraded > 0) for (const host of weighs(set.degradedHosts)) eligible.add(host);
    return { priority, percent: healthy + degraded, healthy: set.healthy, total: set.hosts.length, panics };
  });
  const pick = { hash, attempt: 0, metadataMatch: undefined };
  return {
    priorities: hosts.length === 0 ? [] : priorities,
    eligible: hosts.filter((host) => eligible.has(host)),
    byHash: lb.byHash && hash !== undefined ? cluster.pick(pick) : undefined,
  };
};

const weightOf = (
  localities: readonly { readonly all: readonly Host[]; readonly weight: number }[],
  host: Host,
): number => localities.find(({ all }) => all.includes(host))?.weight ?? 0;

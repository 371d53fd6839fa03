/** How clusters and virtual hosts that were asked for are used, by what their clusters count anyway. */
import type { Clock } from "@weft/core/world";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { Cluster } from "../../clusters/cluster.ts";
import type { DemandedKind } from "../../on-demand/on-demand.ts";
import type { Subscriptions } from "../../on-demand/subscriptions.ts";
import type { EntryUse } from "./memory-level.ts";

export interface EntryUseTools {
  readonly clusters: () => readonly Cluster[];
  readonly demanded: () => Pick<Subscriptions, "learnedHost"> | undefined;
  readonly clock: Pick<Clock, "nowMs">;
}

/** Clusters are looked for by name in what was listed so recently. */
const listedMs = 100;

/** The clusters that requests to that host go to; `undefined` where they do not say, or go nowhere. */
export const clustersOfHost = ({ routes = [] }: VirtualHostJson): readonly string[] | undefined => {
  const names: string[] = [];
  for (const { route } of routes) {
    if (!route) continue;
    const weighted = route.weightedClusters?.clusters?.map(({ name = "" }) => name);
    const named = route.cluster !== undefined ? [route.cluster] : (weighted ?? [""]);
    if (named.includes("")) return undefined;
    names.push(...named);
  }
  return names.length === 0 ? undefined : names;
};

export const createEntryUse = ({ clusters, demanded, clock }: EntryUseTools) => {
  let listed = new Map<string, Cluster>();
  let listedAtMs = Number.NEGATIVE_INFINITY;

  const use = (name: string): EntryUse => {
    if (clock.nowMs() - listedAtMs >= listedMs) {
      listed = new Map(clusters().map((cluster) => [cluster.name, cluster]));
      listedAtMs = clock.nowMs();
    }
    const cluster = listed.get(name);
    if (!cluster) return { count: 0, busy: false };
    const busy = cluster.hosts().some(({ activeRequests }) => activeRequests > 0);
    return { count: cluster.counters.upstreamRqTotal, busy };
  };

  return (of: DemandedKind, name: string): EntryUse | undefined => {
    if (of === "cluster") return use(name);
    const host = demanded()?.learnedHost(name);
    const uses = host && clustersOfHost(host)?.map(use);
    return uses && { count: uses.reduce((sum, { count }) => sum + count, 0), busy: uses.some(({ busy }) => busy) };
  };
};

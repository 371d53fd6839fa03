/**
 * Routing that stays in the proxy's own zone as far as that keeps every upstream host equally busy: how much of the
 * traffic arises in a zone is taken to be the part of the mesh's proxies in it.
 */
import type { Random } from "@weft/core/world";
import type { ClusterCounters } from "./cluster.ts";
import type { Host } from "./host.ts";
import { isExcluded, type LocalityHosts, type PrioritySet, sameLocality } from "./priority-sets.ts";

export interface ZoneAwareSettings {
  /** Healthy hosts below which it is not done. */
  readonly minClusterSize: number;
  /** Percent of requests that it is done for. */
  readonly enabled: number;
  readonly failOnPanic: boolean;
  /** To the own zone in any case, as long as it has a healthy host. */
  readonly forceLocal: boolean;
}

export interface ZoneAwareTools {
  readonly random: Random;
  readonly counters: ClusterCounters;
  readonly panicThreshold: number;
}

/** What a request is to do: go by the locality of that number, by all alike, or fail. */
export type ChooseZone = () => number | "all" | "none";

const parts = 10_000;

interface Percentages {
  readonly local: number;
  readonly upstream: number;
}

const percentagesOf = (
  locals: readonly LocalityHosts[],
  upstreams: readonly LocalityHosts[],
): readonly Percentages[] => {
  const sum = (list: readonly LocalityHosts[]): number =>
    list.reduce((total, { healthy }) => total + healthy.length, 0);
  const [localTotal, upstreamTotal] = [sum(locals), sum(upstreams)];
  return upstreams.map(({ healthy, locality }) => {
    if (healthy.length === 0) return { local: 0, upstream: 0 };
    const here = locals.find((one) => sameLocality(one.locality, locality))?.healthy.length ?? 0;
    return {
      local: localTotal > 0 ? Math.floor((parts * here) / localTotal) : 0,
      upstream: Math.floor((parts * healthy.length) / upstreamTotal),
    };
  });
};

const inPanic = (hosts: readonly Host[], threshold: number): boolean => {
  const counted = hosts.filter((host) => !isExcluded(host)).length;
  const good = hosts.filter(({ state }) => state !== "unhealthy").length;
  return (counted === 0 ? 0 : (100 * good) / counted) < threshold;
};

/** Room left in each locality, added up from the first on. */
const residuals = (percentages: readonly Percentages[], startsLocal: boolean): readonly number[] => {
  let sum = 0;
  return percentages.map(({ local, upstream }, index) => {
    if (!(index === 0 && startsLocal)) sum += Math.max(0, upstream - local);
    return sum;
  });
};

/** `undefined` where there is no such choice to make. `locals` are the hosts of the proxy's own cluster. */
export const zoneRouting = (
  upstream: PrioritySet,
  locals: PrioritySet | undefined,
  { minClusterSize, enabled, failOnPanic, forceLocal }: ZoneAwareSettings,
  { random, counters, panicThreshold }: ZoneAwareTools,
): ChooseZone | undefined => {
  if (!locals) return undefined;
  counters.lbRecalculateZoneStructures++;
  const { localities, startsLocal } = upstream;
  if (localities.length < 2 || (locals.localities.length < 2 && !forceLocal)) return undefined;
  if (!locals.startsLocal) {
    counters.lbLocalClusterNotOk++;
    return undefined;
  }
  if (upstream.healthy < minClusterSize) {
    counters.lbZoneClusterTooSmall++;
    return undefined;
  }
  const percentages = percentagesOf(locals.localities, localities);
  const [own] = percentages as [Percentages];
  const isDirect = startsLocal && (forceLocal || (own.upstream > 0 && own.upstream >= own.local));
  const share = startsLocal && own.local > 0 ? Math.floor((own.upstream * parts) / own.local) : 0;
  const room = residuals(percentages, startsLocal);
  const whole = room.at(-1) ?? 0;
  const localPanic = inPanic(locals.hosts, panicThreshold);

  return () => {
    if (enabled < 100 && random() * 100 >= enabled) return "all";
    if (localPanic) {
      counters.lbLocalClusterNotOk++;
      return failOnPanic ? "none" : "all";
    }
    if (isDirect) {
      counters.lbZoneRoutingAllDirectly++;
      return 0;
    }
    if (random() * parts < share) {
      counters.lbZoneRoutingSampled++;
      return 0;
    }
    counters.lbZoneRoutingCrossZone++;
    if (whole === 0) {
      counters.lbZoneNoCapacityLeft++;
      return Math.floor(random() * localities.length);
    }
    const drawn = Math.floor(random() * whole);
    let zone = 0;
    while (drawn >= (room[zone] as number)) zone++;
    return zone;
  };
};

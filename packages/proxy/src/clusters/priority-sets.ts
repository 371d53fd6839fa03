/** The hosts of a cluster by priority, health and locality, in the order in which Envoy goes through them. */
import { localityKey } from "./endpoints.ts";
import { checkFlags, type Host, type Locality } from "./host.ts";
import type { PriorityCount } from "./priority-load.ts";

export interface LocalityHosts {
  readonly locality: Locality;
  readonly all: readonly Host[];
  readonly healthy: readonly Host[];
  readonly degraded: readonly Host[];
  /** Hosts that do not count. */
  readonly excluded: number;
  /** As assigned; 0 where nothing was. */
  readonly weight: number;
}

export interface PrioritySet extends PriorityCount {
  readonly hosts: readonly Host[];
  readonly healthyHosts: readonly Host[];
  readonly degradedHosts: readonly Host[];
  /** The proxy's own comes first, the others by their names. */
  readonly localities: readonly LocalityHosts[];
  readonly startsLocal: boolean;
}

export interface SortOptions {
  readonly localityWeights: ReadonlyMap<string, number>;
  /** The proxy's own locality. */
  readonly local: Locality | undefined;
  /** Health of a priority goes by weight, not by number. */
  readonly weighted: boolean;
}

export const isExcluded = ({ counts }: Host): boolean =>
  (counts.checked & (checkFlags.pending | checkFlags.excluded)) !== 0;

export const sameLocality = (a: Locality, b: Locality): boolean =>
  a.region === b.region && a.zone === b.zone && a.subZone === b.subZone;

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byName = (a: Locality, b: Locality): number =>
  compare(a.region, b.region) || compare(a.zone, b.zone) || compare(a.subZone, b.subZone);

const byLocality = (hosts: readonly Host[], { localityWeights, local }: SortOptions): readonly LocalityHosts[] => {
  const groups = new Map<string, Host[]>();
  for (const host of hosts) {
    const key = localityKey(host.priority, host.locality);
    const group = groups.get(key);
    if (group) group.push(host);
    else groups.set(key, [host]);
  }
  const sorted = [...groups].map(([key, all]): LocalityHosts => {
    const [first] = all as [Host];
    return {
      locality: first.locality,
      all,
      healthy: all.filter(({ state }) => state === "healthy"),
      degraded: all.filter(({ state }) => state === "degraded"),
      excluded: all.filter(isExcluded).length,
      weight: localityWeights.get(key) ?? 0,
    };
  });
  const rank = ({ locality }: LocalityHosts): number => (local && sameLocality(locality, local) ? 0 : 1);
  return sorted.sort((a, b) => rank(a) - rank(b) || byName(a.locality, b.locality));
};

const count = (hosts: readonly Host[], weighted: boolean): number =>
  weighted ? hosts.reduce((sum, { weight }) => sum + weight, 0) : hosts.length;

/** One set for each priority up to the last, also for those without hosts. */
export const sortHosts = (hosts: readonly Host[], options: SortOptions): readonly PrioritySet[] => {
  const last = hosts.reduce((most, { priority }) => Math.max(most, priority), 0);
  const lists: Host[][] = Array.from({ length: last + 1 }, () => []);
  for (const host of hosts) lists[host.priority]?.push(host);
  return lists.map((list) => {
    const healthyHosts = list.filter(({ state }) => state === "healthy");
    const degradedHosts = list.filter(({ state }) => state === "degraded");
    const counted = list.filter((host) => !isExcluded(host));
    const localities = byLocality(list, options);
    const [first] = localities;
    const { weighted, local } = options;
    return {
      hosts: list,
      healthyHosts,
      degradedHosts,
      localities,
      startsLocal: first !== undefined && local !== undefined && sameLocality(first.locality, local),
      all: list.length,
      total: counted.length,
      healthy: healthyHosts.length,
      degraded: degradedHosts.length,
      capacity: {
        total: count(counted, weighted),
        healthy: count(healthyHosts, weighted),
        degraded: count(degradedHosts, weighted),
      },
    };
  });
};

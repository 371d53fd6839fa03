/**
 * Subset load balancing: hosts by what their `envoy.lb` metadata says, and for a route's criteria those that meet all
 * of them. Subsets are put together when hosts change, and what a route's criteria lead to when it is first asked.
 */
import type { MetadataMatch, PickHost, PickRequest } from "../balancers/balancer.ts";
import type { ClusterCounters } from "./cluster.ts";
import type { Host } from "./host.ts";
import { type SubsetSelector, type SubsetSettings, subsetKey, valueText } from "./subset-settings.ts";

/** A host whose lists would put it into more subsets of a selector than this is in none of them. */
export const subsetsPerHostMax = 256;
/** Endpoints make subsets; so many of one cluster are kept apart, hosts of further ones are in none. */
export const subsetsMax = 10_000;

type Criteria = MetadataMatch["criteria"];

/** Builds the pick among some of the hosts; `all` are those of the cluster. */
export type BuildSubset = (hosts: readonly Host[], all: readonly Host[]) => PickHost;

interface Subset {
  readonly hosts: Host[];
  readonly single: boolean;
  pick: PickHost | undefined;
}

const nobody: PickHost = () => undefined;

const valuesOf = (value: unknown, listAsAny: boolean): readonly string[] =>
  listAsAny && Array.isArray(value) ? value.map(valueText) : [valueText(value)];

/** What a selector makes of a host: nothing where it lacks a key, several where lists count as any of their values. */
const placesOf = ({ metadata }: Host, keys: readonly string[], listAsAny: boolean): readonly Criteria[] => {
  const own = metadata["envoy.lb"] ?? {};
  let places: Criteria[] = [[]];
  for (const key of keys) {
    if (!Object.hasOwn(own, key)) return [];
    const values = valuesOf(own[key], listAsAny);
    if (places.length * values.length > subsetsPerHostMax) return [];
    places = places.flatMap((place) => values.map((value): Criteria => [...place, [key, value]]));
  }
  return places;
};

const meets = ({ metadata }: Host, criteria: Criteria, listAsAny: boolean): boolean => {
  const own = metadata["envoy.lb"] ?? {};
  return criteria.every(([key, value]) => Object.hasOwn(own, key) && valuesOf(own[key], listAsAny).includes(value));
};

const collect = (hosts: readonly Host[], { selectors, listAsAny }: SubsetSettings): Map<string, Subset> => {
  const subsets = new Map<string, Subset>();
  for (const host of hosts) {
    for (const { keys, singleHost } of selectors) {
      for (const place of placesOf(host, keys, listAsAny)) {
        const key = subsetKey(place);
        let subset = subsets.get(key);
        if (!subset) {
          if (subsets.size >= subsetsMax) continue;
          subset = { hosts: [], single: singleHost, pick: undefined };
          subsets.set(key, subset);
        }
        if (subset.single && subset.hosts.length > 0) continue;
        // A list may lead to one subset twice; hosts come one after the other.
        if (subset.hosts.at(-1) !== host) subset.hosts.push(host);
      }
    }
  }
  return subsets;
};

const only = (criteria: Criteria, keys: readonly string[]): Criteria => criteria.filter(([key]) => keys.includes(key));

const merge = (criteria: Criteria, over: Criteria): Criteria =>
  [...new Map([...criteria, ...over])].sort(([a], [b]) => (a < b ? -1 : 1));

const sameKeys = (criteria: Criteria, { keys }: SubsetSelector): boolean =>
  criteria.length === keys.length && criteria.every(([key], index) => keys[index] === key);

/** The first of them that has a host for the request. */
const firstOf = (picks: readonly PickHost[]): PickHost => {
  return (request) => {
    for (const pick of picks) {
      const host = pick(request);
      if (host) return host;
    }
    return undefined;
  };
};

/** The subsets of these hosts, and what criteria lead to. */
class Subsets {
  readonly subsets: Map<string, Subset>;
  private readonly hosts: readonly Host[];
  private readonly settings: SubsetSettings;
  private readonly build: BuildSubset;
  private readonly counters: ClusterCounters;
  private anyPick: PickHost | undefined;
  private defaultPick: PickHost | undefined;

  constructor(hosts: readonly Host[], settings: SubsetSettings, build: BuildSubset, counters: ClusterCounters) {
    this.hosts = hosts;
    this.settings = settings;
    this.build = build;
    this.counters = counters;
    this.subsets = collect(hosts, settings);
  }

  /** For a request without criteria, or with such as no subset and no selector answers for. */
  fallback(): PickHost {
    const { counters, settings } = this;
    if (settings.fallback === "none") return nobody;
    const pick = this.named(settings.fallback);
    const panic = settings.panicModeAny ? this.named("any") : undefined;
    return (request) => {
      const host = pick(request);
      if (host) {
        counters.lbSubsetsFallback++;
        return host;
      }
      const other = panic?.(request);
      if (other) counters.lbSubsetsFallbackPanic++;
      return other;
    };
  }

  resolve({ criteria, fallbacks }: MetadataMatch): PickHost {
    if (!this.settings.fallbackList || !fallbacks) return this.find(criteria);
    if (fallbacks.length === 0) return this.find(criteria);
    return firstOf(fallbacks.map((over) => this.find(merge(criteria, over.criteria))));
  }

  private find(asked: Criteria): PickHost {
    const { selectors, allowRedundantKeys } = this.settings;
    let criteria = asked;
    if (allowRedundantKeys) {
      const selector = selectors.find(({ keys }) => only(asked, keys).length === keys.length);
      if (selector) criteria = only(asked, selector.keys);
    }
    const subset = this.subsets.get(subsetKey(criteria));
    if (subset) return this.pickOf(subset);
    const selector = selectors.find((one) => sameKeys(criteria, one));
    if (selector?.fallback === undefined) return this.fallback();
    switch (selector.fallback) {
      case "none":
        return nobody;
      case "keys":
        return this.find(only(criteria, selector.fallbackKeys));
      default:
        return this.named(selector.fallback);
    }
  }

  private pickOf(subset: Subset): PickHost {
    const { counters } = this;
    if (subset.pick) return subset.pick;
    const [first] = subset.hosts;
    const inner: PickHost = subset.single ? () => first : this.build(subset.hosts, this.hosts);
    subset.pick = (request: PickRequest) => {
      counters.lbSubsetsSelected++;
      return inner(request);
    };
    return subset.pick;
  }

  private named(name: "any" | "default"): PickHost {
    if (name === "any") {
      this.anyPick ??= this.build(this.hosts, this.hosts);
      return this.anyPick;
    }
    const { defaultSubset, listAsAny } = this.settings;
    this.defaultPick ??= this.build(
      this.hosts.filter((host) => meets(host, defaultSubset, listAsAny)),
      this.hosts,
    );
    return this.defaultPick;
  }
}

/** Builds a cluster's pick anew with every change of its hosts, and counts its subsets. */
export interface SubsetBuilder {
  readonly build: (hosts: readonly Host[], build: BuildSubset) => PickHost;
  /** The cluster is gone or replaced: its subsets are not counted any more. */
  readonly close: () => void;
}

const none: ReadonlySet<string> = new Set();

export const createSubsetBuilder = (settings: SubsetSettings, counters: ClusterCounters): SubsetBuilder => {
  let known = none;
  let closed = false;
  const count = (now: ReadonlySet<string>): void => {
    for (const key of now) if (!known.has(key)) counters.lbSubsetsCreated++;
    for (const key of known) if (!now.has(key)) counters.lbSubsetsRemoved++;
    counters.lbSubsetsActive += now.size - known.size;
    known = now;
  };
  const build: SubsetBuilder["build"] = (hosts, build) => {
    const subsets = new Subsets(hosts, settings, build, counters);
    if (!closed) count(new Set(subsets.subsets.keys()));
    const fallback = subsets.fallback();
    const resolved = new WeakMap<MetadataMatch, PickHost>();
    return (request) => {
      const { metadataMatch } = request;
      if (metadataMatch === undefined) return fallback(request);
      let pick = resolved.get(metadataMatch);
      if (pick === undefined) {
        pick = subsets.resolve(metadataMatch);
        resolved.set(metadataMatch, pick);
      }
      return pick(request);
    };
  };
  return {
    build,
    close: () => {
      closed = true;
      count(none);
    },
  };
};

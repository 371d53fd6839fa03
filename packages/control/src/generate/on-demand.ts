/**
 * What our own sidecar is given only when its workload uses it. All is generated as for everybody else and then parted:
 * the virtual hosts of services leave their tables, and the clusters that only they lead to leave the list. So what a
 * sidecar is given is what it would have had, and what cannot be parted (connections told apart by address or server
 * name, whatever a listener names) stays for all.
 */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { OnDemandSource } from "@weft/xds/snapshot";
import type { Sidecar } from "../model/sidecars.ts";
import { hostIndex } from "./host-index.ts";
import type { Memo } from "./memo.ts";
import type { ProxyFacts } from "./proxy-facts.ts";
import type { Generated, ResourceMap } from "./resource-set.ts";

/** Services above which sidecars are given only what they use, unless it is said otherwise. */
export const onDemandAboveDefault = 1_000;

/** How long requests wait for what the control plane has to give. */
export const hostTimeout = "5s";

interface Services {
  readonly services: { readonly size: number };
}

/**
 * Whether a mesh is large. It stays so until it is half as large as it has to be to become so: sidecars are not to go
 * back and forth.
 */
export const createSizeGauge = (model: Services, above: number): (() => boolean) => {
  let large = false;
  return () => {
    const { size } = model.services;
    large = size > (large ? above / 2 : above);
    return large;
  };
};

/** One that knows how to ask, and whose Sidecar does not say already which services it calls. */
export const isOnDemand = (proxy: ProxyFacts, sidecar: Sidecar | undefined, large: boolean): boolean => {
  if (!large || !proxy.native || proxy.kind !== "sidecar" || !proxy.asksOnDemand) return false;
  const egress = sidecar?.spec.egress ?? [];
  return egress.length === 0 || egress.some(({ hosts }) => hosts.some((host) => host.endsWith("/*")));
};

/** Tables of these stay whole: a route takes its cluster from what a request says. */
const unforeseen: ReadonlySet<string> = new Set([
  "clusterHeader",
  "clusterSpecifierPlugin",
  "inlineClusterSpecifierPlugin",
]);

interface Mentions {
  readonly clusters: readonly string[];
  readonly unforeseen: boolean;
}

const mentioned = new WeakMap<object, Mentions>();

/** Every cluster of a service that stands anywhere in the JSON. */
const mentionsOf = (json: object): Mentions => {
  const known = mentioned.get(json);
  if (known) return known;
  const clusters = new Set<string>();
  let isUnforeseen = false;
  const visit = (value: unknown): void => {
    if (typeof value === "string") {
      if (value.startsWith("outbound|")) clusters.add(value);
    } else if (Array.isArray(value)) for (const item of value) visit(item);
    else if (typeof value === "object" && value !== null)
      for (const key in value) {
        if (unforeseen.has(key)) isUnforeseen = true;
        // What its own statistics are called leads nowhere.
        if (key !== "altStatName") visit((value as Readonly<Record<string, unknown>>)[key]);
      }
  };
  visit(json);
  const made = { clusters: [...clusters], unforeseen: isUnforeseen };
  mentioned.set(json, made);
  return made;
};

/** The listener's own address and what no service has stay with their table; there is no more than a few of them. */
const stays = ({ name = "", domains = [] }: VirtualHostJson): boolean =>
  domains.includes("*") || name.startsWith("weft|");

interface PartedTable {
  readonly table: RouteConfigurationJson;
  readonly hosts: readonly VirtualHostJson[];
}

const part = (memo: Memo, key: string, json: RouteConfigurationJson): PartedTable => {
  const { virtualHosts = [] } = json;
  const hosts = virtualHosts.filter((host) => !stays(host));
  if (hosts.length === 0 || mentionsOf(json).unforeseen) return { table: json, hosts: [] };
  const table = memo.of(`${key} rest of ${json.name}`, [json], () => ({
    ...json,
    virtualHosts: virtualHosts.filter(stays),
    vhds: { configSource: { ads: {}, initialFetchTimeout: hostTimeout, resourceApiVersion: "V3" as const } },
  }));
  const kept = (host: VirtualHostJson): VirtualHostJson =>
    memo.of(`${key} host ${json.name}/${host.name}`, [host], () => host);
  return { table, hosts: hosts.map(kept) };
};

const sameMap = <T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean => {
  if (a.size !== b.size) return false;
  for (const [name, value] of b) if (a.get(name) !== value) return false;
  return true;
};

const sameSet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => a.size === b.size && a.isSubsetOf(b);

/** Clusters of services to which something leads that all are given. */
const listedClusters = (clusters: ResourceMap<"cluster">, given: Iterable<object>): ReadonlySet<string> => {
  const listed = new Set<string>();
  for (const json of given) for (const name of mentionsOf(json).clusters) listed.add(name);
  // A patch can have a cluster lead to others.
  for (const [name, json] of clusters)
    if (isOther(name, json)) for (const other of mentionsOf(json).clusters) listed.add(other);
  return listed;
};

const isOther = (name: string, json: ClusterJson): boolean =>
  !name.startsWith("outbound|") || mentionsOf(json).clusters.some((other) => other !== name);

const last = new WeakMap<Memo, Map<string, OnDemandSource>>();

/** The part of a workload's calls, parted. `key` names it among those of other proxies. */
export const partOnDemand = (memo: Memo, key: string, generated: Generated): Generated => {
  const { resources } = generated;
  const route = new Map(resources.route);
  const hosts = new Map<string, VirtualHostJson>();
  const tables = new Map<string, RouteConfigurationJson>();
  for (const [name, json] of resources.route) {
    const { table, hosts: parted } = part(memo, key, json);
    if (parted.length === 0) continue;
    route.set(name, table);
    tables.set(name, json);
    for (const host of parted) hosts.set(`${name}/${host.name}`, host);
  }
  if (hosts.size === 0) return generated;
  const given = [...resources.listener.values(), ...route.values(), ...resources.secret.values()];
  const listed = listedClusters(resources.cluster, given);
  const unlisted = new Set(
    resources.cluster.keys().filter((name) => name.startsWith("outbound|") && !listed.has(name)),
  );
  const known = last.get(memo) ?? new Map<string, OnDemandSource>();
  last.set(memo, known);
  const onDemand = keepEqual(known.get(key), { hosts, unlisted, ...hostIndex(tables, hosts, clustersOf) });
  known.set(key, onDemand);
  return { ...generated, resources: { ...resources, route, onDemand } };
};

const clustersOf = (host: VirtualHostJson): readonly string[] => mentionsOf(host).clusters;

/** What differs in nothing is the same object, down to its parts: then nobody has to be looked at for it. */
const keepEqual = (before: OnDemandSource | undefined, now: OnDemandSource): OnDemandSource => {
  if (!before) return now;
  const hosts = sameMap(before.hosts, now.hosts) ? before.hosts : now.hosts;
  const unlisted = sameSet(before.unlisted, now.unlisted) ? before.unlisted : now.unlisted;
  return hosts === before.hosts && unlisted === before.unlisted ? before : { ...now, hosts, unlisted };
};

const listedBy = new WeakMap<OnDemandSource, WeakMap<object, OnDemandSource>>();

/** With the clusters listed that a workload's own part leads to; mostly there are none. */
export const withListed = (onDemand: OnDemandSource, own: Generated): OnDemandSource => {
  const { listener, cluster, route } = own.resources;
  const given = [...listener.values(), ...cluster.values(), ...route.values()];
  const names = given.flatMap((json) => mentionsOf(json).clusters).filter((name) => onDemand.unlisted.has(name));
  if (names.length === 0) return onDemand;
  const known = listedBy.get(onDemand)?.get(own);
  if (known) return known;
  const made = { ...onDemand, unlisted: onDemand.unlisted.difference(new Set(names)) };
  const byOwn = listedBy.get(onDemand) ?? new WeakMap<object, OnDemandSource>();
  listedBy.set(onDemand, byOwn.set(own, made));
  return made;
};

/** Carries what is asked for on demand to its sources, and what they say back. */
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { sourceKey, sourceOf } from "@weft/xds/references";
import type { XdsServer } from "../bootstrap/xds-server.ts";
import type { ResourceOffer, ResourceStore } from "../discovery/resource-store.ts";
import type { ResourceTaker, XdsClient } from "../discovery/xds-client.ts";
import { type HostOffer, type LearnedHost, LearnedHosts } from "./learned-hosts.ts";
import type { DemandedKind, OnDemandDesk } from "./on-demand.ts";

export interface SubscriptionsOptions {
  readonly onDemand: OnDemandDesk;
  readonly store: ResourceStore;
  readonly ads: () => XdsClient | undefined;
  /** All clusters there are come by the aggregated stream, besides those asked for. */
  readonly adsGivesAll: boolean;
  /** Clusters in force that have yet to find out something by themselves. */
  readonly unwarmed?: () => Iterable<string>;
  /** Opens a stream of its own to a server. */
  readonly open: (source: string, server: XdsServer, of: DemandedKind) => XdsClient;
}

export interface Subscriptions {
  /** What sources offer goes to the store through this. */
  readonly taker: ResourceTaker;
  /** The same for files. */
  readonly fileStore: ResourceStore;
  /** Gives up what no configuration asks for any more. */
  prune(): void;
  /** Clusters of the last run that nobody would subscribe to otherwise. */
  adopt(): void;
  /** Gives up what was asked for: the subscription, and what came by it. */
  release(of: DemandedKind, source: string, name: string): void;
  /** Who is asked for it there. */
  client(of: DemandedKind, source: string): XdsClient | undefined;
  /** A route table without the virtual hosts that came one by one, where it is such a one. */
  givenTable(name: string): ResourceOffer | undefined;
  /** Virtual hosts that came one by one. */
  learnedHosts(): Iterable<LearnedHost>;
  /** By its name or an alias. */
  learnedHost(name: string): VirtualHostJson | undefined;
  isLearned(name: string): boolean;
}

export const createSubscriptions = (options: SubscriptionsOptions): Subscriptions => {
  const { store, onDemand } = options;
  const { clusters, hosts } = onDemand;
  const learned = new LearnedHosts(store, hosts, options.unwarmed);
  clusters.onFound(() => learned.settle());
  const servers = new Map<string, XdsClient>();

  const clientOf = (of: DemandedKind, key: string): XdsClient | undefined => {
    if (key === "ads") return options.ads();
    const known = servers.get(`${of} ${key}`);
    const server = onDemand.server(key.slice("api:".length));
    if (known || !server) return known;
    const made = options.open(key, server, of);
    servers.set(`${of} ${key}`, made);
    made.start();
    return made;
  };

  clusters.attach((key) => {
    const all = key === "ads" && options.adsGivesAll ? ["*"] : [];
    clientOf("cluster", key)?.want("cluster", new Set([...all, ...clusters.namesOf(key)]));
  });
  hosts.attach((key) => clientOf("virtualHost", key)?.want("virtualHost", hosts.namesOf(key)));

  const taker: ResourceTaker = {
    offer: (source, of, changes) => {
      if (of === "virtualHost") return learned.offerHosts(source, changes as readonly HostOffer[]);
      const offers = changes as readonly ResourceOffer[];
      if (of === "route") return learned.offerTables(source, offers);
      const rejections = store.offer(source, of, offers);
      if (of === "cluster")
        for (const { name, json } of changes) if (json === undefined) clusters.missing(source, name);
      return rejections;
    },
    missing: (of, name) => {
      // Those that wait have timers of their own.
      if (of !== "virtualHost") store.missing(of, name);
    },
  };

  const fileStore: ResourceStore = {
    ...store,
    offer: (source, of, changes) =>
      of === "route" ? learned.offerTables(source, changes) : store.offer(source, of, changes),
  };

  const isGivenBy = (key: string, name: string): boolean => {
    const entry = store.entries("cluster").get(name);
    return (entry?.active ?? entry?.warming)?.source === key;
  };

  return {
    taker,
    fileStore,
    release: (of, key, name) => {
      if (of === "virtualHost") return learned.release(key, name);
      clusters.release(key, name);
      // Where the server gives all it has it says itself what goes with the subscription.
      if ((key === "ads" && options.adsGivesAll) || clusters.has(key, name) || !isGivenBy(key, name)) return;
      store.offer(key, "cluster", [{ name, version: "", json: undefined }]);
    },
    client: (of, key) => (key === "ads" ? options.ads() : servers.get(`${of} ${key}`)),
    givenTable: (name) => learned.given(name),
    learnedHosts: () => learned.hosts(),
    learnedHost: (name) => learned.host(name),
    isLearned: (name) => learned.isLearned(name),
    prune: () => {
      learned.prune();
      for (const key of clusters.sources()) {
        if (isMentioned(store, key)) continue;
        const gone = clusters.drop(key);
        // With everything that the server has they would come all the same.
        if (key === "ads" && options.adsGivesAll) continue;
        const removed = gone
          .filter((name) => isGivenBy(key, name))
          .map((name) => ({ name, version: "", json: undefined }));
        if (removed.length > 0) store.offer(key, "cluster", removed);
      }
    },
    adopt: () => {
      if (options.adsGivesAll) return;
      const given = [...store.entries("cluster")].filter(
        ([, entry]) => (entry.active ?? entry.warming)?.source === "ads",
      );
      clusters.adopt(
        "ads",
        given.map(([name]) => name),
      );
    },
  };
};

const mentions = new WeakMap<object, ReadonlySet<string>>();

/** The sources of clusters that a listener or route table names; looked for once in each. */
const sourcesIn = (json: ListenerJson | RouteConfigurationJson): ReadonlySet<string> => {
  const known = mentions.get(json);
  if (known) return known;
  const found = new Set<string>();
  visit(json, found);
  mentions.set(json, found);
  return found;
};

const visit = (json: unknown, found: Set<string>): void => {
  if (Array.isArray(json)) for (const item of json) visit(item, found);
  else if (typeof json === "object" && json !== null)
    for (const [key, value] of Object.entries(json)) {
      const source = key === "odcds" || key === "odcdsConfig" ? sourceIn(value) : undefined;
      if (source) found.add(sourceKey(source));
      else visit(value, found);
    }
};
const sourceIn = (value: unknown) =>
  sourceOf(value) ?? sourceOf((value as { readonly source?: unknown } | undefined)?.source);

const isMentioned = (store: ResourceStore, key: string): boolean =>
  (["listener", "route"] as const).some((of) =>
    store
      .entries(of)
      .values()
      .some(({ active, warming }) =>
        [active, warming].some(
          (held) => held && sourcesIn(held.json as ListenerJson | RouteConfigurationJson).has(key),
        ),
      ),
  );

/** All clusters of a control plane: their services and endpoints beside other registries', their configuration below files'. */
import type { Finding } from "@weft/config/finding";
import type { Collection, Graph } from "@weft/core/collection";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { ConfigItem } from "../../model/config-item.ts";
import type { ConfigStore } from "../../store/config-store.ts";
import type { OutsideRegistries } from "../outside/outside-registries.ts";
import { type Cluster, openCluster } from "./cluster.ts";
import { clusterSources, clusterView } from "./cluster-view.ts";
import type { NamedCluster } from "./kubernetes-url.ts";
import type { MeshConfigPlace } from "./mesh-config-map.ts";
import { readNamespaces } from "./read-namespaces.ts";

/**
 * The rank of the first cluster; each further one, in the order of their flags, has one more. So what files say of a
 * service holds first, then its clusters.
 */
export const clusterRank = 11;
/** How long a start waits for an API server that says nothing, where nothing was kept of it. */
export const silentStartMs = 5_000;
/** How long it waits for one that answers and is still being read. */
export const readingStartMs = 60_000;

export interface Clusters extends OutsideRegistries {
  /** What configures the mesh, in the order of precedence. */
  readonly configurations: readonly Collection<ConfigItem>[];
  /** Names of all namespaces; empty until they are read. */
  namespaces(): readonly string[];
}

export interface ClustersOptions {
  readonly clusters: readonly NamedCluster[];
  /** What the files and the API have. */
  readonly stored: Collection<ConfigItem>;
  readonly domain: string;
  readonly rootNamespace: string;
  /** Where the first cluster has the mesh's settings; absent: they are not read there. */
  readonly meshConfig?: MeshConfigPlace | undefined;
  /** Where last good views are kept. */
  readonly folder: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export const createClusters = (graph: Graph, options: ClustersOptions): Clusters => {
  const { setTimer, rootNamespace, stored, domain } = options;
  const sources = options.clusters.map((named) => ({ named, sources: clusterSources(graph, named.name) }));
  const configurations = [stored, ...sources.map((one) => one.sources.configuration)];
  const passedOver = readNamespaces(graph, { configurations, rootNamespace });
  const opening = sources.map(({ named, sources: own }, at) => ({
    named,
    view: clusterView(graph, own, {
      ...{ name: named.name, rank: clusterRank + at, domain, rootNamespace },
      passedOver: passedOver(named.name, own.namespaces),
    }),
  }));
  let clusters: readonly Cluster[] = [];
  let told: () => void = () => {};
  return {
    views: opening.map(({ view }) => view),
    configurations: opening.map(({ view }) => view.configurationRead),
    namespaces: () => [...new Set(opening.flatMap(({ view }) => [...view.namespaces.values()].map(({ key }) => key)))],
    open: (changed) => {
      clusters = opening.map(({ named, view }, at) => {
        const meshConfig = at === 0 ? options.meshConfig : undefined;
        return openCluster({ ...options, meshConfig, named, view, changed, told: () => told() });
      });
    },
    firstAnswers: () =>
      new Promise((resolve) => {
        const timers = new DisposableStack();
        const settle = (): void => {
          told = () => {};
          timers.dispose();
          resolve();
        };
        told = () => {
          if (clusters.every((cluster) => cluster.known())) settle();
        };
        timers.use(
          setTimer(() => {
            if (!clusters.some((cluster) => cluster.heard() && !cluster.known())) settle();
          }, silentStartMs),
        );
        timers.use(setTimer(settle, readingStartMs));
        told();
      }),
    statuses: () => clusters.map((cluster) => cluster.status()),
    findings: () => clusters.flatMap((cluster) => cluster.findings()),
    [Symbol.dispose]: () => {
      for (const cluster of clusters) cluster[Symbol.dispose]();
    },
  };
};

/** Both as one. */
export const withClusters = (outside: OutsideRegistries, clusters: Clusters): OutsideRegistries => ({
  ...outside,
  views: [...clusters.views, ...outside.views],
  open: (changed) => {
    outside.open(changed);
    clusters.open(changed);
  },
  firstAnswers: async () => void (await Promise.all([outside.firstAnswers(), clusters.firstAnswers()])),
  statuses: () => [...outside.statuses(), ...clusters.statuses()],
  findings: () => [...outside.findings(), ...clusters.findings()],
  [Symbol.dispose]: () => {
    outside[Symbol.dispose]();
    clusters[Symbol.dispose]();
  },
});

/** The files' and the API's configuration over the clusters': where several have an object, the first one's is in force. */
export const allConfiguration = (
  graph: Graph,
  stored: Collection<ConfigItem>,
  { configurations }: Clusters,
): Collection<ConfigItem> =>
  configurations.length === 0 ? stored : graph.union("all config", [stored, ...configurations]);

/** The store with the clusters' objects below its own, and a finding for each that is hidden. */
export const storeOver = (store: ConfigStore, { configurations }: Clusters): ConfigStore => {
  if (configurations.length === 0) return store;
  const below = (key: string) =>
    configurations.map((one) => one.get(key)?.object).find((object) => object !== undefined);
  const keys = (): ReadonlySet<string> =>
    new Set(configurations.flatMap((one) => [...one.values()].map(({ key }) => key)));
  const hidden = (): readonly Finding[] =>
    configurations.flatMap((one, at) =>
      [...one.values()].flatMap(({ key, object }) => {
        const earlier = configurations.slice(0, at).map((other) => other.get(key)?.object);
        const over = store.get(key) ?? earlier.find((other) => other !== undefined);
        if (!over) return [];
        const { kind, namespace, name, source } = object;
        const message = `${source.file} has no effect: ${over.source.file || "a change over the API"} has the same name and goes before it`;
        return [{ code: "WF2156", level: "warning", message, kind, namespace, name, ...source, also: [] } as const];
      }),
    );
  return {
    ...store,
    get: (key) => store.get(key) ?? below(key),
    list: () => {
      const own = new Map(store.list().map((object) => [`${object.kind}/${object.namespace}/${object.name}`, object]));
      return [...new Set([...own.keys(), ...keys()])].sort().flatMap((key) => own.get(key) ?? below(key) ?? []);
    },
    findings: () => [...store.findings(), ...hidden()],
  };
};

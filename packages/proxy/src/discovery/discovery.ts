/**
 * Keeps the resource store supplied: static resources, the aggregated stream, files, servers of their own, and the
 * last good resources from disk when nobody answers. What to ask for follows from what the resources refer to.
 */
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { GrpcChannel } from "@weft/net/grpc/client";
import { onDemandFeature, withFeatures } from "@weft/xds/client-features";
import { adsDeltaPath, adsSotwPath } from "@weft/xds/discovery";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { sourceKey } from "@weft/xds/references";
import { type ResourceKind, resourceName, type SubscribedKind } from "@weft/xds/resource";
import type { Bootstrap, DiscoverySource } from "../bootstrap/bootstrap.ts";
import { isAds, serverOfCluster, type XdsServer } from "../bootstrap/xds-server.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { OnDemandDesk } from "../on-demand/on-demand.ts";
import { createSubscriptions } from "../on-demand/subscriptions.ts";
import type { Rejection } from "../runtime/data-plane.ts";
import type { CacheCounters } from "./cache/cache-stats.ts";
import { type CacheSettings, type CacheView, createDiscoveryCache } from "./cache/discovery-cache.ts";
import { followFile, type WatchFile } from "./file-source.ts";
import { createLoadReporting } from "./load-reporting.ts";
import type { ResourceOffer, ResourceStore, Want } from "./resource-store.ts";
import {
  createXdsClient,
  type ResourceTaker,
  type ResponseSlices,
  type XdsClient,
  type XdsClientMetrics,
  type XdsClientState,
} from "./xds-client.ts";

export interface DiscoveryOptions {
  readonly bootstrap: Bootstrap;
  readonly store: ResourceStore;
  readonly connect: (server: XdsServer) => GrpcChannel;
  readonly watchFile: WatchFile;
  /** Secrets that the sidecar's own identity provides: nobody else is asked for them. */
  readonly ownSecrets: ReadonlySet<string>;
  /** What is kept of what came, and where; nothing on disk where it does not say so. */
  readonly cache?: CacheSettings | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly metrics: XdsClientMetrics;
  readonly cacheCounters: CacheCounters;
  /** The clusters as they are in force, for load reports; none are made where it is absent. */
  readonly clusters?: () => readonly Cluster[];
  /** Resolves when what the store has taken so far serves; `undefined` when it does already. */
  readonly inForce?: () => Promise<void> | undefined;
  /** What requests ask for; nothing is fetched on demand where it is absent. */
  readonly onDemand?: OnDemandDesk | undefined;
  /** How responses are taken where requests are served on this thread. */
  readonly slices?: ResponseSlices;
}

export interface Discovery extends Disposable {
  /** Gives the static resources that were refused; the rest is started. */
  start(): readonly Rejection[];
  /** Resources that come from within, such as the identity's keys. */
  provide(source: string, of: ResourceKind, changes: readonly ResourceOffer[]): void;
  /** Every source has given its first full answer (or the last good one stands in) and nothing warms. */
  ready(): boolean;
  /** What `ready` still waits for. */
  waitingFor(): readonly string[];
  ads(): XdsClientState | undefined;
  /** Writes the last good resources now. */
  save(): void;
  cache(): CacheView;
}

/** A control plane that accepts connections and says nothing is given up for the resources on disk after so long. */
const silenceMs = 5_000;
const referencedKinds: readonly ResourceKind[] = ["endpoints", "route", "secret"];
const storedKinds: readonly ResourceKind[] = ["cluster", "listener", ...referencedKinds];

const methods: { readonly [K in ResourceKind]: readonly [service: string, sotw: string, delta: string] } = {
  cluster: ["envoy.service.cluster.v3.ClusterDiscoveryService", "StreamClusters", "DeltaClusters"],
  listener: ["envoy.service.listener.v3.ListenerDiscoveryService", "StreamListeners", "DeltaListeners"],
  endpoints: ["envoy.service.endpoint.v3.EndpointDiscoveryService", "StreamEndpoints", "DeltaEndpoints"],
  route: ["envoy.service.route.v3.RouteDiscoveryService", "StreamRoutes", "DeltaRoutes"],
  secret: ["envoy.service.secret.v3.SecretDiscoveryService", "StreamSecrets", "DeltaSecrets"],
};
const methodPath = (of: ResourceKind, form: "delta" | "sotw"): string => {
  const [service, sotw, delta] = methods[of];
  return `/${service}/${form === "delta" ? delta : sotw}`;
};

const deltaHostsPath = "/envoy.service.route.v3.VirtualHostDiscoveryService/DeltaVirtualHosts";

export const createDiscovery = (options: DiscoveryOptions): Discovery => {
  const { bootstrap, store, log } = options;
  const resources = new DisposableStack();
  const clients = new Map<string, XdsClient>();
  const bySource = new Map<string, readonly XdsClient[]>();
  /** Those that are asked for all there is of a kind. */
  const whole = new Map<string, XdsClient>();
  const files = new Map<string, { wanted: ReadonlySet<string>; readonly refresh: () => void }>();
  const clusters = new Map(bootstrap.clusters.map((cluster): [string, ClusterJson] => [cluster.name ?? "", cluster]));
  const nodeId = bootstrap.node.id ?? "";
  /** Sources whose last good resources were looked for. */
  const restored = new Set<string>();
  let adsHearsLoad = false;
  let ads: XdsClient | undefined;
  let tickTimer: Disposable | undefined;
  let fullFiles = 0;
  let filesRead = 0;

  /** Who is given all clusters that it needs can do with virtual hosts one by one. */
  const asksHosts = (source: string, { form }: XdsServer): boolean =>
    source === "ads" && form === "delta" && bootstrap.cds?.kind === "ads" && options.onDemand !== undefined;

  const client = (source: string, server: XdsServer, path: string): XdsClient => {
    const made: XdsClient = resources.use(
      createXdsClient({
        source,
        form: server.form,
        path,
        node: asksHosts(source, server) ? withFeatures(bootstrap.node, [onDemandFeature]) : bootstrap.node,
        channel: resources.use(options.connect(server)),
        metadata: () => server.metadata,
        store: taker,
        clock: options.clock,
        random: options.random,
        setTimer: options.setTimer,
        log,
        metrics: options.metrics,
        inForce: options.inForce,
        slices: options.slices,
        onProgress: () => {
          considerLastGood(source);
          sync();
        },
      }),
    );
    bySource.set(source, [...(bySource.get(source) ?? []), made]);
    return made;
  };

  const { onDemand } = options;
  const demanded =
    onDemand &&
    createSubscriptions({
      onDemand,
      store,
      ads: () => ads,
      adsGivesAll: bootstrap.cds?.kind === "ads",
      unwarmed: () => (options.clusters?.() ?? []).flatMap(({ name, warm }) => (warm === false ? [name] : [])),
      open: (source, server, of) => client(source, server, of === "cluster" ? methodPath(of, "delta") : deltaHostsPath),
    });
  const offerFrom = (demanded?.taker ?? store).offer as ResourceTaker["offer"];
  const cache = resources.use(
    createDiscoveryCache({
      ...options.cache,
      ...{ store, nodeId, onDemand, log, ownSecrets: options.ownSecrets, counters: options.cacheCounters },
      ...{ clock: options.clock, setTimer: options.setTimer, clusters: options.clusters ?? (() => []) },
      demanded: () => demanded,
      offer: offerFrom,
      client: (of, source) => clientOf(of, source),
      settled: () => adsSaidAll() && waitingFor().length === 0,
      sync: () => sync(),
    }),
  );
  const taker: ResourceTaker = {
    offer: (source, of, changes) => {
      const heard = cache.hear(source, of, changes);
      const refused = offerFrom(source, of, changes);
      heard(refused);
      return refused;
    },
    missing: (of, name) => (demanded?.taker ?? (store as ResourceTaker)).missing(of, name),
  };
  const clientOf = (of: SubscribedKind, source: string): XdsClient | undefined => {
    if (source === "ads") return ads;
    const demandedOne = of === "cluster" || of === "virtualHost" ? demanded?.client(of, source) : undefined;
    return demandedOne ?? clients.get(`${of} ${source}`) ?? whole.get(`${of} ${source}`);
  };
  const adsSaidAll = (): boolean =>
    ads !== undefined &&
    (["cluster", "listener"] as const).every(
      (of) => (of === "cluster" ? bootstrap.cds : bootstrap.lds)?.kind !== "ads" || ads?.state.received.has(of),
    );

  /** Brings every source up to what is wanted of it now. */
  const sync = (): void => {
    considerLoad();
    demanded?.prune();
    const wants = store.wants();
    if (ads) {
      for (const of of referencedKinds) {
        const want = wants.find((one) => one.of === of && one.source.kind === "ads");
        ads.want(of, withoutOwn(of, want?.names ?? new Set()));
      }
    }
    for (const want of wants) {
      if (want.source.kind === "path") followNames(want, want.source.path);
      if (want.source.kind === "api") askServer(want, want.source.cluster);
    }
    for (const [key, one] of clients)
      if (!wants.some((want) => keyOf(want) === key))
        one.want(key.slice(0, key.indexOf(" ")) as ResourceKind, new Set());
    schedule();
  };
  const keyOf = ({ of, source }: Want): string => `${of} ${sourceKey(source)}`;
  const withoutOwn = (of: ResourceKind, names: ReadonlySet<string>): ReadonlySet<string> =>
    of === "secret" ? names.difference(options.ownSecrets) : names;

  const followNames = (want: Want, path: string): void => {
    const key = keyOf(want);
    const known = files.get(key);
    if (known) {
      const grew = [...want.names].some((name) => !known.wanted.has(name));
      known.wanted = want.names;
      if (grew) known.refresh();
      return;
    }
    const made = { wanted: want.names, refresh: (): void => undefined };
    files.set(key, made);
    const { of } = want;
    const { watchFile: watch } = options;
    const to = demanded?.fileStore ?? store;
    const following = followFile({ path, of, names: () => made.wanted, store: to, watch, log, onApplied: schedule });
    made.refresh = resources.use(following).refresh;
  };

  const askServer = (want: Want, clusterName: string): void => {
    const names = withoutOwn(want.of, want.names);
    const key = keyOf(want);
    const known = clients.get(key);
    if (known) known.want(want.of, names);
    if (known || names.size === 0) return;
    const cluster = clusters.get(clusterName);
    if (!cluster) {
      log.error("a resource is to come from a cluster that is not static", { code: "WF3303", cluster: clusterName });
      for (const name of names) store.missing(want.of, name);
      return;
    }
    const server = serverOfCluster(cluster, "sotw");
    const made = client(sourceKey(want.source), server, methodPath(want.of, server.form));
    clients.set(key, made);
    made.want(want.of, names);
    made.start();
  };

  const schedule = (): void => {
    cache.changed();
    tickTimer?.[Symbol.dispose]();
    const deadline = store.deadlineMs();
    tickTimer =
      deadline === undefined
        ? undefined
        : options.setTimer(
            () => {
              store.tick();
              sync();
            },
            Math.max(1, deadline - options.clock.nowMs()),
          );
  };

  const reportLoad = (server: XdsServer, reports: (cluster: string) => boolean): void => {
    const { clock, random, setTimer, clusters: inForce } = options;
    if (!inForce) return;
    const channel = resources.use(options.connect(server));
    const read = () => inForce().filter(({ name }) => reports(name));
    resources.use(
      createLoadReporting({
        ...{ server, channel, node: bootstrap.node, clock, random, setTimer, log },
        clusters: read,
      }),
    );
  };
  /** Clusters that name the server they come from as the one to be told their load. */
  const toldToAds = (name: string): boolean => {
    const json = store.entries("cluster").get(name)?.active?.json as ClusterJson | undefined;
    return isAds(json?.lrsServer);
  };
  const considerLoad = (): void => {
    if (adsHearsLoad || !bootstrap.ads || ![...store.entries("cluster").keys()].some(toldToAds)) return;
    adsHearsLoad = true;
    reportLoad(bootstrap.ads, toldToAds);
  };

  /** Where nobody answers, what was given before serves, and what is waited for is looked for there. */
  const considerLastGood = (source: string): void => {
    const from = bySource.get(source) ?? [];
    if (from.some(({ state }) => state.connected || state.failures === 0)) return;
    if (from.every(({ state }) => state.received.size === 0)) restore(source);
    cache.fallBack(source);
  };
  const restore = (source: string): void => {
    if (restored.has(source)) return;
    restored.add(source);
    if (!cache.restore(source)) return;
    demanded?.adopt();
    sync();
    for (const of of storedKinds) clientOf(of, source)?.resume(of, versionsIn(store, of, source));
  };

  const follow = (of: "cluster" | "listener", source: DiscoverySource | undefined): void => {
    if (source?.kind === "ads") ads?.want(of, "*");
    if (source?.kind === "path") {
      fullFiles++;
      const onApplied = (): void => {
        filesRead++;
        sync();
      };
      const { path } = source;
      resources.use(followFile({ path, of, names: () => "*", store, watch: options.watchFile, log, onApplied }));
    }
    if (source?.kind === "api") {
      const own = client(`api:${source.server.name}`, source.server, methodPath(of, source.server.form));
      whole.set(`${of} api:${source.server.name}`, own);
      own.want(of, "*");
      own.start();
    }
  };

  const offerStatic = (): readonly Rejection[] => {
    const offer = (of: ResourceKind, jsons: readonly object[]): readonly Rejection[] =>
      store.offer(
        "static",
        of,
        jsons.map((json) => ({ name: resourceName(of, json as never), version: "", json }) as ResourceOffer),
      );
    return [
      ...offer("secret", bootstrap.secrets),
      ...offer("cluster", bootstrap.clusters),
      ...offer("listener", bootstrap.listeners),
    ];
  };

  const waitingFor = (): readonly string[] => {
    const missing: string[] = [];
    const usesAds = [bootstrap.cds, bootstrap.lds].some((source) => source?.kind === "ads");
    const fromDisk = store.entries("listener").size > 0 && restored.has("ads");
    if (usesAds && ads && !fromDisk)
      for (const [of, source] of [
        ["cluster", bootstrap.cds],
        ["listener", bootstrap.lds],
      ] as const)
        if (source?.kind === "ads" && !ads.state.received.has(of))
          missing.push(`the first ${of}s from the control plane`);
    if (filesRead < fullFiles) missing.push("configuration files");
    for (const { of, name, needs } of store.waiting())
      missing.push(`${of} ${name}${needs.length > 0 ? ` (waits for ${needs.join(", ")})` : ""}`);
    return missing;
  };

  return {
    start: () => {
      if (bootstrap.ads) {
        const path = bootstrap.ads.form === "delta" ? adsDeltaPath : adsSotwPath;
        ads = client("ads", bootstrap.ads, path);
      }
      if (bootstrap.loadStats) reportLoad(bootstrap.loadStats, () => true);
      const refused = offerStatic();
      follow("cluster", bootstrap.cds);
      follow("listener", bootstrap.lds);
      sync();
      ads?.start();
      resources.use(
        options.setTimer(() => {
          if (!ads || restored.has("ads")) return;
          const { received, connected, taking } = ads.state;
          if (received.size === 0 && connected && !taking) ads.restart();
        }, silenceMs),
      );
      return refused;
    },
    provide: (source, of, changes) => {
      for (const { name, reason } of store.offer(source, of, changes))
        log.error("resource refused", { code: "WF3103", source, kind: of, name, reason });
      sync();
    },
    ready: () => waitingFor().length === 0,
    waitingFor,
    ads: () => ads?.state,
    save: () => cache.flush(),
    cache: () => cache.view(),
    [Symbol.dispose]: () => {
      tickTimer?.[Symbol.dispose]();
      resources.dispose();
    },
  };
};

const versionsIn = (store: ResourceStore, of: ResourceKind, source: string): ReadonlyMap<string, string> => {
  const versions = new Map<string, string>();
  for (const { active, warming } of store.entries(of).values()) {
    const held = warming ?? active;
    // Virtual hosts that such a table has learned are asked for anew, so the table is to come without them.
    if (held && "vhds" in held.json) continue;
    if (held?.source === source) versions.set(held.name, held.version);
  }
  return versions;
};

/** The control plane as one process serves it: xDS on two ports, the HTTP API, metrics; all of it closes together. */
import type { Finding } from "@weft/config/finding";
import { formatAddress, isLoopback, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { isReadable, makeFolder } from "@weft/net/files/files";
import { type FolderWatch, watchFolder } from "@weft/net/files/watch";
import { openGrpcServer } from "@weft/net/grpc/server";
import { accessGuard, sameSecret } from "@weft/net/http/access";
import { type Routes, route } from "@weft/net/http/routes";
import { openHttpServer } from "@weft/net/http/server";
import { resourceType } from "@weft/xds/resource";
import { type Analysis, createAnalysis } from "./analysis/analysis.ts";
import { aboutRoutes } from "./api/about-routes.ts";
import { configRoutes } from "./api/config-routes.ts";
import { loadRoutes } from "./api/load-routes.ts";
import { meshRoutes } from "./api/mesh-routes.ts";
import { proxyRoutes } from "./api/proxy-routes.ts";
import { proxyStartRoutes } from "./api/proxy-start-routes.ts";
import { registryFacts, registryRoutes } from "./api/registry-routes.ts";
import { sourceRoutes } from "./api/source-routes.ts";
import { tokenRoutes } from "./api/token-routes.ts";
import { type ReviewToken, reviewTokens } from "./ca/service-account-tokens.ts";
import { type KubernetesDuties, type KubernetesPlace, openKubernetesDuties } from "./leases/kubernetes-duties.ts";
import { feedReportedHealth } from "./loads/health-feed.ts";
import { loadHandlers } from "./loads/load-service.ts";
import { createLoadTable } from "./loads/load-table.ts";
import { seenByProxies } from "./loads/reported-health.ts";
import { createSharedHealth } from "./loads/shared-health.ts";
import { type MeshIdentity, openMeshIdentity } from "./mesh-identity.ts";
import { createMeshState, type MeshState } from "./mesh-state.ts";
import { createMetrics, type Metrics } from "./metrics/metrics.ts";
import { addProcessMetrics } from "./metrics/process-metrics.ts";
import { type AdsService, createAds } from "./push/ads.ts";
import { createPushMetrics } from "./push/push-metrics.ts";
import type { EmbeddedRegistry } from "./registries/embedded/registry.ts";
import type { NamedFolder } from "./registries/files/folder-url.ts";
import type { NamedCluster } from "./registries/kubernetes/kubernetes-url.ts";
import type { NamedRegistry } from "./registries/outside/named-registries.ts";
import type { NamedTarget } from "./registries/outside/named-targets.ts";
import { csdsHandlers } from "./status/csds.ts";
import { createDebugAnswers } from "./status/debug-types.ts";
import { runningFindings } from "./status/running-findings.ts";
import { openSharedProxies, type SharedProxies, type SharedProxiesOptions } from "./status/shared-proxies.ts";
import { collectProxyMetrics } from "./status/shared-proxies-metrics.ts";
import { openStorage, type SharedStoreSettings, type Storage } from "./storage.ts";
import { collectStoreMetrics } from "./store/shared/store-metrics.ts";

export interface ControlPlaneAddresses {
  readonly xds: SocketAddress;
  readonly secure: SocketAddress;
  readonly http: SocketAddress;
  readonly monitoring: SocketAddress;
}

export interface ControlPlaneOptions extends ControlPlaneAddresses {
  /** Absent: configuration comes by the API only. */
  readonly configFolder: string | undefined;
  readonly dataFolder: string;
  /** Shared with other control planes of this mesh; absent: what must survive is in the data folder alone. */
  readonly store?: SharedStoreSettings | undefined;
  /** Registries beside the files and weft's own. */
  readonly registries?: readonly NamedRegistry[];
  /** Folders of YAML, as registries. */
  readonly folders?: readonly NamedFolder[];
  /** Kubernetes clusters, as registries and as sources of configuration. */
  readonly clusters?: readonly NamedCluster[];
  /** Absent: nothing is written to a cluster, and there are no webhooks. */
  readonly kubernetes?: KubernetesPlace;
  /** Registries that weft's own is written into. */
  readonly targets?: readonly NamedTarget[];
  readonly trustDomain: string;
  readonly rootNamespace: string;
  /** xDS connections older than this, ±20 %, are asked to come again. Absent: never. */
  readonly connectionAgeMaxMs?: number;
  /** With more services than this our own sidecars are given only those they use; Infinity: never. */
  readonly onDemandAbove?: number;
  /** Names beside loopback under which this control plane is reached. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export interface ControlPlane extends ControlPlaneAddresses, AsyncDisposable {
  /** Of the webhooks, where there are any. */
  readonly webhook: SocketAddress | undefined;
}

/** Opens everything, or nothing: WF2010 for a port, WF2002 and WF2003 for a folder. */
export const openControlPlane = async (options: ControlPlaneOptions): Promise<ControlPlane> => {
  await using opened = new AsyncDisposableStack();
  const { dataFolder, log, clock, setTimer, random, trustDomain } = options;
  if (options.configFolder !== undefined && !isReadable(options.configFolder)) {
    throw new WeftError("WF2003", `there is no readable configuration at ${options.configFolder}`, {
      next: "give a folder or a file with --config, or leave it out",
    });
  }
  openDataFolder(dataFolder);
  const metrics = createMetrics();
  addProcessMetrics(metrics);
  const pushMetrics = createPushMetrics(metrics);
  const storage = opened.use(await openStorage(options));
  const { registry, expiring, adminToken } = storage;
  if (storage.shared) collectStoreMetrics(metrics, storage.shared.store);
  const state = createMeshState({
    ...options,
    metrics,
    pushMetrics,
    persistence: storage.persistence,
    registry,
    ...(storage.addresses ? { addresses: storage.addresses } : {}),
    sharedAddresses: storage.sharedAddresses,
    outside: {
      ...{ registries: options.registries ?? [], targets: options.targets ?? [], clusters: options.clusters ?? [] },
      folders: options.folders ?? [],
      meshConfig: options.kubernetes,
      folder: `${dataFolder}/registries`,
    },
  });
  opened.use(state);
  if (expiring) opened.use(expireInstances(expiring, options));
  const writer = storage.configWriter(state.store);
  opened.defer(() => writer[Symbol.dispose]?.());
  opened.use(watchConfig(options.configFolder, state, log));
  const visibility = {
    trustDomain,
    rootNamespace: options.rootNamespace,
    isAdminToken: (token: string) => sameSecret(token, adminToken),
  };
  const ads = createAds({
    publisher: state.publisher,
    answerDebug: createDebugAnswers({ ...visibility, clock }),
    ...{ trustDomain, clock, setTimer, log, metrics: pushMetrics },
  });
  const loads = createLoadTable(metrics);
  const { model, reported, commitSoon } = state;
  const sharedHealth = storage.shared && opened.use(createSharedHealth({ ...storage.shared, setTimer, log }));
  const health = { table: loads, model, reported, commitSoon, clock, setTimer, shared: sharedHealth };
  opened.use(feedReportedHealth(health));
  const seen = (service: string) => seenByProxies(loads.list(), model, service, clock.wallMs());
  const loadReports = loadHandlers({
    ...{ table: loads, trustDomain, clock, setTimer, log },
    clustersOf: (proxy) => [...(state.publisher.snapshotOf(proxy).types.get(clusterUrl)?.entries.keys() ?? [])],
  });
  const statusHandlers = csdsHandlers({ ...visibility, proxies: ads.proxies, clock });

  const identity = await openMeshIdentity({
    ...options,
    ...{ metrics, hosts: [...options.hosts, options.secure.host], shared: storage.shared },
    reviewToken: reviewerOf(options, opened),
  });
  const guard = accessGuard({
    token: adminToken,
    hosts: options.hosts,
    openPaths: ["/ready"],
  });
  const sharedProxies = storage.shared && opened.use(openSharedProxies(tellingOf(options, storage.shared, state, ads)));
  if (sharedProxies) collectProxyMetrics(metrics, sharedProxies);
  const findings = () => [...runningFindings(state), ...(sharedProxies?.findings() ?? [])];
  const analyzeContext = () => ({
    ...registryFacts(registry, state.model, state.outside.views),
    ...{ rootNamespace: options.rootNamespace, trustDomain, namespaces: state.namespaces() },
  });
  const analysis = createAnalysis({ ...options, facts: analyzeContext });
  let waitingFor: readonly string[] = ["registries"];
  const routes: Routes = [
    ...aboutRoutes({ waitingFor: () => waitingFor, trustDomain }),
    ...configRoutes({ store: state.store, writer, analysis, runningFindings: findings }),
    ...sourceRoutes(state.outside, registry, state.writeBacks, storage.shared?.store),
    ...registryRoutes({ registry, model, commit: state.commitWaiting, seen, heard: sharedHealth?.heard }),
    ...proxyStartRoutes(model, options.rootNamespace),
    ...proxyRoutes({ proxies: ads.proxies, everywhere: sharedProxies?.everywhere, clock }),
    ...meshRoutes(state),
    ...loadRoutes(loads),
    ...tokenRoutes(identity.tokens, clock, identity.rootFingerprint),
  ];
  const print = route("GET", "/metrics", () => ({
    kind: "text",
    type: "text/plain; version=0.0.4; charset=utf-8",
    body: metrics.print(),
  }));

  const http = await listening("--http-address", () => openHttpServer({ address: options.http, routes, guard, log }));
  opened.defer(() => http.close());
  const monitoring = await listening("--monitoring-address", () =>
    openHttpServer({
      address: options.monitoring,
      routes: [print, ...aboutRoutes({ waitingFor: () => waitingFor, trustDomain })],
      log,
    }),
  );
  opened.defer(() => monitoring.close());
  // A sidecar that comes before its registries were read would be told that its services are gone.
  await state.outside.firstAnswers();
  state.commit();
  waitingFor = [];

  if (!isLoopback(options.xds.host)) {
    log.warn("xDS without TLS is open beyond this machine: proxies are not authenticated there", {
      address: formatAddress(options.xds),
    });
  }
  const { connectionAgeMaxMs } = options;
  const age = connectionAgeMaxMs === undefined ? {} : { connectionAgeMaxMs };
  const handlers = new Map([...ads.handlers, ...statusHandlers, ...loadReports]);
  const xds = await listening("--xds-address", () =>
    openGrpcServer({ address: options.xds, handlers, log, random, ...age }),
  );
  opened.defer(() => xds.close());
  const secureHandlers = new Map([...handlers, ...identity.handlers]);
  const secure = await listening("--secure-address", () =>
    openGrpcServer({
      address: options.secure,
      handlers: secureHandlers,
      tls: identity.serverTls(),
      log,
      random,
      ...age,
    }),
  );
  opened.defer(() => secure.close());
  opened.use(identity.renewing(secure.setTls));
  const duties = await listening("--webhook-address", () =>
    openDuties(options, { metrics, state, ads, identity, analysis, findings, shared: sharedProxies }),
  );
  opened.use(duties);
  const kept = opened.move();
  return {
    webhook: duties.webhook,
    xds: xds.address,
    secure: secure.address,
    http: http.address,
    monitoring: monitoring.address,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
};

/** Tokens of the first cluster's workloads are good for their identities. */
const reviewerOf = (
  { clusters = [], setTimer, log }: ControlPlaneOptions,
  opened: AsyncDisposableStack,
): ReviewToken | undefined => {
  const [first] = clusters;
  return first && reviewTokens(opened.use(first.open(setTimer)), log);
};

interface DutyParts {
  readonly metrics: Metrics;
  readonly state: MeshState;
  readonly ads: AdsService;
  readonly identity: MeshIdentity;
  readonly analysis: Analysis;
  readonly findings: () => readonly Finding[];
  readonly shared: SharedProxies | undefined;
}

/** Which proxies have what is told where a cluster's objects have a status. */
const tellingOf = (
  { clusters = [], clock, setTimer, log }: ControlPlaneOptions,
  { store, replica }: NonNullable<Storage["shared"]>,
  state: MeshState,
  { proxies }: AdsService,
): SharedProxiesOptions => ({
  ...{ store, replica, proxies, clock, setTimer, log },
  settled: () => !state.publisher.pending(),
  ...(clusters.length > 0 ? { objects: () => state.store.list() } : {}),
});

const openDuties = (
  options: ControlPlaneOptions,
  { metrics, state, ads, identity, analysis, findings, shared }: DutyParts,
): Promise<KubernetesDuties> =>
  openKubernetesDuties({
    ...options,
    ...{ metrics, analysis, authority: identity.authority },
    place: options.kubernetes ?? { writes: false, namespace: options.rootNamespace, revision: "default", identity: "" },
    clusters: options.clusters ?? [],
    objects: () => state.store.list(),
    ...{ runningFindings: findings, shared },
    proxies: ads.proxies,
    pushPending: () => state.publisher.pending(),
  });

/** Takes instances out when nobody renewed them in time. */
const expireInstances = (
  registry: EmbeddedRegistry,
  { clock, setTimer, log }: Pick<ControlPlaneOptions, "clock" | "setTimer" | "log">,
): Disposable => {
  let timer: Disposable | undefined;
  let armedMs = Number.POSITIVE_INFINITY;
  const arm = (): void => {
    const nextMs = registry.deadlineMs() ?? Number.POSITIVE_INFINITY;
    if (nextMs === armedMs) return;
    timer?.[Symbol.dispose]();
    armedMs = nextMs;
    if (nextMs !== Number.POSITIVE_INFINITY) timer = setTimer(expire, Math.max(0, nextMs - clock.nowMs()));
  };
  const expire = (): void => {
    armedMs = Number.POSITIVE_INFINITY;
    for (const { namespace, service, id } of registry.tick()) {
      log.warn("an instance was not renewed in time and is taken out", { service: `${service}.${namespace}`, id });
    }
    arm();
  };
  const watching = registry.watch({ since: registry.version() }, arm);
  arm();
  return {
    [Symbol.dispose]: () => {
      timer?.[Symbol.dispose]();
      watching[Symbol.dispose]();
    },
  };
};

const clusterUrl = resourceType("cluster").typeUrl;
const configEndings = ["yaml", "yml", "json"];

const watchConfig = (folder: string | undefined, state: MeshState, log: Logger): FolderWatch => {
  if (folder === undefined) {
    state.store.setFiles([]);
    return { refresh: () => {}, [Symbol.dispose]: () => {} };
  }
  return watchFolder({
    folder,
    endings: configEndings,
    changed: (files) => {
      state.store.setFiles(files);
      log.info("configuration read", { folder, files: files.length, objects: state.store.list().length });
    },
    failed: (path, error) => log.error("cannot read configuration, the last stays", { path, error: String(error) }),
  });
};

const openDataFolder = (folder: string): void => {
  try {
    makeFolder(folder);
  } catch (cause) {
    throw new WeftError("WF2002", `cannot use the data folder ${folder}: ${(cause as Error).message}`, {
      next: "give another with --data",
      cause,
    });
  }
};

/** Says which flag changes an address that cannot be had. */
const listening = async <T>(flag: string, open: () => Promise<T>): Promise<T> => {
  try {
    return await open();
  } catch (cause) {
    if (!(cause instanceof WeftError)) throw cause;
    throw new WeftError(cause.code, cause.message, {
      next: `choose another with ${flag} H:P (port 0 takes a free one)`,
      cause,
    });
  }
};

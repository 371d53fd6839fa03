/** `weft sidecar`: an Envoy-compatible proxy in the foreground, from a bootstrap file or from flags. */
import { randomUUID } from "node:crypto";
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { formatError, formatPosition, WeftError } from "@weft/core/error";
import { realClock, setRealTimer } from "@weft/net/clock";
import { makeFolder, readIfThere, removeFile } from "@weft/net/files/files";
import { openGrowingFiles } from "@weft/net/files/growing-files";
import { watchFile } from "@weft/net/files/watch-file";
import { createLogger, type LineLogger } from "@weft/net/logger";
import { findFreePort } from "@weft/net/process/free-port";
import { giveBackMemory } from "@weft/net/process/give-back-memory";
import { readText } from "@weft/net/read-text";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { AdminContext, ServerState } from "../admin/admin.ts";
import { createLeaveCommands, type LeaveCommands } from "../admin/leave-commands.ts";
import { createLogLevels } from "../admin/logging.ts";
import { createStatsPrinter } from "../admin/print-stats.ts";
import { type Bootstrap, parseBootstrap, readBootstrap } from "../bootstrap/bootstrap.ts";
import { bootstrapFromFlags } from "../bootstrap/from-flags.ts";
import { cacheCounters } from "../discovery/cache/cache-stats.ts";
import type { CacheSettings } from "../discovery/cache/discovery-cache.ts";
import { collectCache } from "../discovery/cache/show-cache.ts";
import { createDiscovery, type Discovery } from "../discovery/discovery.ts";
import { collectDiscovery, collectServer, xdsClientMetrics } from "../discovery/discovery-stats.ts";
import { createResourceStore, type ResourceOffer, type ResourceStore } from "../discovery/resource-store.ts";
import { withDns } from "../dns/dns-plane.ts";
import type { ProxyNode } from "../filters/http/filter.ts";
import { type IdentityMaterial, identitySecrets } from "../identity/identity-material.ts";
import { countChanges } from "../observe/count-changes.ts";
import { createStats, type StatsStore } from "../observe/create-stats.ts";
import { collectTraffic } from "../observe/traffic-stats.ts";
import { createOnDemand, type OnDemandDesk } from "../on-demand/on-demand.ts";
import type { DataPlane, Rejection } from "../runtime/data-plane.ts";
import { openAdminServer } from "./admin-server.ts";
import { connectServer } from "./connect-server.ts";
import { openDataPlane } from "./open-data-plane.ts";
import { onReopenSignal, onStopSignal, surviveErrors } from "./process-signals.ts";
import { parseSidecarFlags, type SidecarFlags } from "./sidecar-flags.ts";
import { beginTakeover, inheritAdmin, notReady, offerTakeover } from "./takeover.ts";
import { controlPlaneName, startWorkloadIdentity } from "./workload-identity.ts";

const version = "0.1.0";

/** Called when the sidecar is ready; what it gives is disposed before connections drain. */
export type JoinMesh = () => Promise<AsyncDisposable>;

/** Runs until SIGTERM, SIGINT or a takeover, drains, and gives the exit code: 0 stopped, 1 could not start, 2 usage. */
export const runSidecar = async (argv: readonly string[], join?: JoinMesh): Promise<number> => {
  try {
    const flags = parseSidecarFlags(argv);
    if ("exitCode" in flags) return flags.exitCode;
    return await serve(flags, join);
  } catch (error) {
    process.stderr.write(`${formatError(error)}\n`);
    return error instanceof WeftError && ["WF9020", "WF3112"].includes(error.code) ? 2 : 1;
  }
};

const memory = () => {
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  return { allocated: heapUsed + external, heapSize: heapTotal, physical: rss };
};

const serve = async (flags: SidecarFlags, join: JoinMesh | undefined): Promise<number> => {
  await using cleanup = new AsyncDisposableStack();
  const log = createLogger({
    write: (line) => process.stderr.write(line),
    format: flags.logFormat,
    level: flags.logLevel,
    wallMs: realClock.wallMs,
  });
  const stop = cleanup.use(onStopSignal());
  const startedAtMs = realClock.nowMs();
  const stats = createStats();
  let live = false;
  let leave: LeaveCommands | undefined;
  let state: "starting" | "live" | "draining" = "starting";
  const uncaught = stats.counter("server.uncaught_errors");
  cleanup.use(surviveErrors(log, { started: () => live, count: () => uncaught.add(1), nowMs: realClock.nowMs }));
  const serverState = (): ServerState =>
    state === "draining" || leave?.healthCheckFailed ? "DRAINING" : state === "live" ? "LIVE" : "INITIALIZING";

  let context: AdminContext | undefined;
  const early = flags.mode === "bootstrap" ? readFile(flags.file) : undefined;
  const adminAddress = early ? early.admin : flags.mode === "mesh" ? flags.admin : undefined;
  const takeover = cleanup.use(await beginTakeover(flags, log));
  const adminSocket = adminAddress ? inheritAdmin(takeover, adminAddress) : undefined;
  const admin = adminSocket
    ? await openAdminServer(adminSocket.address, () => context, log.scope("admin"), adminSocket.inherited)
    : undefined;
  if (admin) cleanup.defer(() => admin.close());
  const bootstrap = early ?? (await meshBootstrap(flags, admin?.address));
  for (const { code, message, where } of bootstrap.warnings)
    log.warn(message, { code, ...(where ? { where: formatPosition(where) } : {}) });
  const quit = Promise.withResolvers<"quit" | "workers died">();
  const { concurrency, logFormat, memoryLimitBytes } = flags;
  const { overload } = bootstrap;
  const onGivenUp = (): void => quit.resolve("workers died");
  const { inherited } = takeover ?? {};
  const onDemand = createOnDemand(bootstrap, setRealTimer, stats, flags.cacheEntries);
  const asked = { concurrency, logFormat, memoryLimitBytes, overload, onGivenUp, inherited, onDemand };
  const opened = openDataPlane({ ...asked, node: proxyNode(bootstrap, flags), stats, log });
  const { workers, setLevel } = opened;
  const dataPlane = withDns(opened.dataPlane, {
    ...{ clock: realClock, setTimer: setRealTimer, stats, log: log.scope("dns"), readText },
    reusePort: flags.takeoverSocket !== undefined && process.platform === "linux",
    takesOver: flags.takeover,
  });
  cleanup.defer(() => dataPlane.close());
  leave = cleanup.use(createLeaveCommands(dataPlane, { setTimer: setRealTimer, drainTimeMs: flags.drainTimeMs }));
  const { drainListeners, failHealthCheck } = leave;
  cleanup.use(onReopenSignal(() => dataPlane.reopenLogs()));
  const store = createResourceStore({
    dataPlane: countChanges(dataPlane, stats),
    clock: realClock,
    log: log.scope("config"),
  });
  const discovery = cleanup.use(assemble({ flags, bootstrap, store, stats, dataPlane, log, onDemand }));
  collectDiscovery(stats, store, dataPlane);
  collectCache(stats, () => discovery.cache());
  collectTraffic(stats, dataPlane);
  collectServer(stats, {
    live: () => serverState() === "LIVE",
    state: () => ["LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"].indexOf(serverState()),
    uptimeSeconds: () => (realClock.nowMs() - startedAtMs) / 1000,
    memory,
    concurrency: workers,
  });
  context = {
    bootstrap: { json: bootstrap.json, atMs: realClock.wallMs() },
    store,
    dataPlane,
    stats: createStatsPrinter(stats),
    clock: realClock,
    startedAtMs,
    version: `weft/${version}`,
    options: { concurrency: workers, drainTimeMs: flags.drainTimeMs },
    state: serverState,
    memory,
    cache: () => discovery.cache(),
    waitingFor: () => [...discovery.waitingFor(), ...unboundListeners(store, dataPlane)],
    log: createLogLevels({ levels: log.levels, setLevel }, setRealTimer),
    actions: {
      reopenLogs: () => dataPlane.reopenLogs(),
      drainListeners,
      failHealthCheck,
      quit: () => quit.resolve("quit"),
    },
  };
  if (flags.mode === "mesh") {
    const onMaterial = (material: IdentityMaterial): void =>
      discovery.provide("identity", "secret", secretOffers(material));
    cleanup.use(
      await startWorkloadIdentity({ flags, dataFolder: flags.dataFolder, log: log.scope("secret"), onMaterial }),
    );
  }
  refuseStatic(discovery.start());
  const taken = Promise.withResolvers<"taken over">();
  const stopped = Promise.race([stop.stopped, quit.promise, taken.promise]);
  const late = takeover?.late.then(() => Promise.reject(notReady()));
  const ready = untilReady(() => context?.waitingFor().length === 0, stopped);
  if (await (late ? Promise.race([ready, late]) : ready)) {
    refuseFailedListeners(bootstrap, dataPlane);
    await takeover?.confirm();
    cleanup.use(
      await offerTakeover({
        path: flags.takeoverSocket,
        sockets: opened.sockets,
        admin: admin && adminAddress && { asked: adminAddress, server: admin },
        log,
        onTaken: () => taken.resolve("taken over"),
      }),
    );
    live = true;
    state = "live";
    giveBackMemory();
    process.stdout.write(`${readyLine(flags, admin?.address, dataPlane)}\n`);
    log.info("ready", { listeners: dataPlane.listeners().length, clusters: dataPlane.clusters().length });
    await using _joined = await join?.();
    const why = await stopped;
    log.info("stopping", { why, drainMs: flags.drainTimeMs });
  }
  state = "draining";
  await dataPlane.drain(flags.drainTimeMs);
  return (await Promise.race([quit.promise, undefined])) === "workers died" ? 1 : 0;
};

/** A flag wins over the metadata that means the same. */
const proxyNode = ({ node, localCluster }: Bootstrap, { handshakesPerSecond }: SidecarFlags): ProxyNode => ({
  id: node.id ?? "",
  cluster: node.cluster ?? "",
  locality: { region: "", zone: "", subZone: "", ...node.locality },
  ...(localCluster === undefined ? {} : { localCluster }),
  metadata: {
    ...node.metadata,
    ...(handshakesPerSecond === undefined ? {} : { WEFT_HANDSHAKES_PER_SECOND: handshakesPerSecond }),
  },
});

const secretOffers = (material: IdentityMaterial): readonly ResourceOffer[] =>
  identitySecrets(material).map((json) => ({ name: json.name ?? "", version: material.serial, json }));

const readFile = (file: string): Bootstrap => {
  const text = readIfThere(file);
  if (text === undefined) throw new WeftError("WF3104", `there is no file ${file}`);
  return parseBootstrap(text, file);
};

const meshBootstrap = async (flags: SidecarFlags, admin: SocketAddress | undefined): Promise<Bootstrap> => {
  if (flags.mode !== "mesh") throw new TypeError("flags of a bootstrap file");
  const { outbound } = flags;
  const port = outbound?.port === 0 ? await findFreePort(outbound.host, 0) : outbound?.port;
  const json = bootstrapFromFlags({
    ...flags,
    type: flags.gateway ? "router" : "sidecar",
    serverName: flags.serverName ?? controlPlaneName,
    outbound: outbound && port !== undefined ? { host: outbound.host, port } : undefined,
    admin: admin ?? flags.admin,
    version,
  });
  return readBootstrap(json, () => undefined);
};

interface Assembly {
  readonly flags: SidecarFlags;
  readonly bootstrap: Bootstrap;
  readonly store: ResourceStore;
  readonly stats: StatsStore;
  readonly dataPlane: Pick<DataPlane, "clusters" | "inForce" | "judgeAhead">;
  readonly log: LineLogger;
  readonly onDemand: OnDemandDesk;
}

const assemble = ({ flags, bootstrap, store, stats, dataPlane, log, onDemand }: Assembly): Discovery =>
  createDiscovery({
    bootstrap,
    store,
    connect: (server) => connectServer(server, (name) => secretIn(store, name), log.scope("xds")),
    watchFile,
    ownSecrets: flags.mode === "mesh" ? new Set(["default", "ROOTCA"]) : new Set(),
    cache: cacheOf(flags),
    cacheCounters: cacheCounters(stats),
    clock: realClock,
    random: Math.random,
    setTimer: setRealTimer,
    log: log.scope("xds"),
    metrics: xdsClientMetrics(stats),
    clusters: () => dataPlane.clusters(),
    inForce: () => dataPlane.inForce(),
    onDemand,
    slices: { judgeAhead: (changes) => dataPlane.judgeAhead?.(changes), afterTurn: setImmediate },
  });

const secretIn = (store: ResourceStore, name: string): SecretJson | undefined =>
  store.entries("secret").get(name)?.active?.json as SecretJson | undefined;

/** What an older sidecar kept in the same folder is read once. */
const cacheOf = ({ dataFolder, cacheTtlMs, cacheDiskBytes }: SidecarFlags): CacheSettings => {
  if (dataFolder === undefined) return { ttlMs: cacheTtlMs };
  makeFolder(dataFolder);
  const path = `${dataFolder}/last-good-resources`;
  const former = { read: () => readIfThere(path), remove: () => removeFile(path) };
  const files = openGrowingFiles(`${dataFolder}/discovery-cache`, setRealTimer);
  const disk = { files, bytesMax: cacheDiskBytes, writerId: randomUUID(), former };
  return { ttlMs: cacheTtlMs, disk };
};

const refuseStatic = (rejections: readonly Rejection[]): void => {
  if (rejections.length === 0) return;
  const lines = rejections.map(({ kind, name, reason }) => `${kind} ${name}: ${reason}`);
  throw new WeftError("WF3102", lines.join("\n"), { next: "change or remove it in the bootstrap" });
};

/** Listeners that are in force and have neither an address nor a reason why not. */
const unboundListeners = (store: ResourceStore, dataPlane: DataPlane): readonly string[] => {
  const states = new Map(dataPlane.listeners().map((listener) => [listener.name, listener]));
  return [...store.entries("listener")].flatMap(([name, { active }]) => {
    const binds = (active?.json as { bindToPort?: boolean } | undefined)?.bindToPort !== false;
    const listener = states.get(name);
    const done = listener?.address !== undefined || listener?.state === "failed";
    return active && binds && !done ? [`listener ${name} to be bound`] : [];
  });
};

/** A static listener that cannot have its port is a start that failed; one by xDS is only logged. */
const refuseFailedListeners = ({ listeners }: Bootstrap, dataPlane: DataPlane): void => {
  const fixed = new Set(listeners.map(({ name = "" }) => name));
  const failed = dataPlane.listeners().find(({ name, state }) => state === "failed" && fixed.has(name));
  if (failed)
    throw new WeftError("WF3105", `listener ${failed.name}: ${failed.error ?? "cannot be bound"}`, {
      next: "free the port or choose another",
    });
};

const readyPollMs = 10;

/** Polls, because what is waited for ends in many places. False when the process is told to stop first. */
const untilReady = (ready: () => boolean, stopped: Promise<unknown>): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!ready()) return;
      clearInterval(timer);
      resolve(true);
    }, readyPollMs);
    void stopped.then(() => {
      clearInterval(timer);
      resolve(false);
    });
  });

const readyLine = (flags: SidecarFlags, admin: SocketAddress | undefined, dataPlane: DataPlane): string => {
  const listeners = dataPlane
    .listeners()
    .flatMap(({ name, address }) =>
      address ? [`${name.replaceAll(/[\s\p{Cc}]/gu, "_")}=${formatAddress(address)}`] : [],
    );
  const name = flags.mode === "mesh" ? ` name=${flags.name}.${flags.namespace}` : "";
  return `ready admin=${admin ? formatAddress(admin) : "none"}${name} listeners=${listeners.join(",") || "none"}`;
};

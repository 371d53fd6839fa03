/** The admin interface: Envoy's paths and shapes, as functions from a request to an answer. */
import type { JsonValue } from "@bufbuild/protobuf";
import { formatAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import { toProtoDuration } from "@weft/core/duration";
import type { Clock } from "@weft/core/world";
import { toProtoNames } from "@weft/xds/codec";
import type { BootstrapJson } from "@weft/xds/gen/envoy/config/bootstrap/v3/bootstrap";
import { NodeSchema } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { CacheView } from "../discovery/cache/discovery-cache.ts";
import { cacheJson } from "../discovery/cache/show-cache.ts";
import type { ResourceStore } from "../discovery/resource-store.ts";
import { partialMatch } from "../matching/regex.ts";
import { oneLine } from "../observe/one-line.ts";
import { bucketModes } from "../observe/print-histogram.ts";
import type { PrintOptions } from "../observe/print-stats.ts";
import type { DataPlane } from "../runtime/data-plane.ts";
import { certificatesJson } from "./certificates.ts";
import { type ClusterListing, clustersJson, clustersText } from "./cluster-status.ts";
import { configDump } from "./config-dump.ts";
import type { DrainRequest } from "./leave-commands.ts";
import { answerLogging, type LogLevels, levelName } from "./logging.ts";

export interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface AdminReply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export type ServerState = "LIVE" | "DRAINING" | "PRE_INITIALIZING" | "INITIALIZING";

export interface StatsPrinter {
  /** `name: value` lines; only those in use, only those whose name matches. */
  text(options: StatsQuery): string;
  json(options: StatsQuery): string;
  prometheus(options: StatsQuery): string;
  /** Counters are shown from 0 again. */
  reset(): void;
}
export type StatsQuery = PrintOptions;

export interface AdminContext {
  readonly bootstrap: { readonly json: BootstrapJson; readonly atMs: number };
  readonly store: ResourceStore;
  readonly dataPlane: Pick<DataPlane, "clusters" | "listeners">;
  readonly stats: StatsPrinter;
  readonly clock: Clock;
  readonly startedAtMs: number;
  readonly version: string;
  readonly options: { readonly concurrency: number; readonly drainTimeMs: number };
  readonly state: () => ServerState;
  readonly memory: () => { readonly allocated: number; readonly heapSize: number; readonly physical: number };
  readonly cache: () => CacheView;
  readonly waitingFor: () => readonly string[];
  readonly log: LogLevels;
  readonly actions: {
    readonly drainListeners: (request: DrainRequest) => void;
    readonly failHealthCheck: (failed: boolean) => void;
    readonly quit: () => void;
    readonly reopenLogs: () => void;
  };
}

interface AdminPath {
  readonly path: string;
  readonly method: "GET" | "POST";
  readonly help: string;
  readonly handle: (request: AdminRequest, context: AdminContext) => AdminReply;
}

const text = (body: string, status = 200): AdminReply => ({ status, type: "text/plain; charset=UTF-8", body });
const json = (body: JsonValue, status = 200): AdminReply => ({
  status,
  type: "application/json",
  body: `${JSON.stringify(body, null, 1)}\n`,
});
const done = text("OK\n");

const statsTypes: ReadonlyMap<string, StatsQuery["type"]> = new Map([
  ["All", undefined],
  ["Counters", "counter"],
  ["Gauges", "gauge"],
  ["Histograms", "histogram"],
  ["TextReadouts", "text"],
]);

/** A reply where the query cannot be taken. */
const statsQuery = ({ query }: AdminRequest): StatsQuery | AdminReply => {
  const type = query.get("type") ?? "All";
  if (!statsTypes.has(type)) return text("invalid &type= param\n", 400);
  const asked = query.get("histogram_buckets") ?? "summary";
  const buckets = bucketModes.find((mode) => mode === asked);
  if (!buckets) return text(`usage: /stats?histogram_buckets=(${bucketModes.join("|")})\n\n`, 400);
  return {
    usedOnly: query.has("usedonly"),
    filter: query.get("filter") ?? undefined,
    invert: query.has("invert_filter"),
    type: statsTypes.get(type),
    buckets,
  };
};
const isReply = (value: StatsQuery | AdminReply): value is AdminReply => "status" in value;

const clusterListings = (
  { dataPlane, store }: AdminContext,
  wanted: (name: string) => boolean,
): readonly ClusterListing[] =>
  dataPlane.clusters().flatMap((cluster) =>
    wanted(cluster.name)
      ? [
          {
            cluster,
            addedViaApi: store.entries("cluster").get(cluster.name)?.active?.source !== "static",
          },
        ]
      : [],
  );

const listeners = ({ query }: AdminRequest, { dataPlane }: AdminContext): AdminReply => {
  const bound = dataPlane.listeners().flatMap(({ name, address }) => (address ? [{ name, address }] : []));
  if (query.get("format") !== "json")
    return text(bound.map(({ name, address }) => `${oneLine(name)}::${formatAddress(address)}\n`).join(""));
  return json({
    listener_statuses: bound.map(({ name, address }) => ({
      name,
      local_address: { socket_address: { address: address.host, port_value: address.port } },
    })),
  });
};

const stats = (request: AdminRequest, context: AdminContext): AdminReply =>
  printed(request, context, request.query.get("format") ?? "text");

const printed = (request: AdminRequest, { stats: printer }: AdminContext, format: string): AdminReply => {
  const options = statsQuery(request);
  if (isReply(options)) return options;
  try {
    switch (format) {
      case "prometheus":
        return text(printer.prometheus(options));
      case "json":
        return { status: 200, type: "application/json", body: printer.json(options) };
      case "text":
        return text(printer.text(options));
      default:
        return text("usage: /stats?format=(json|prometheus|text)\n\n", 400);
    }
  } catch (error) {
    return badExpression(error);
  }
};

const dump = ({ query }: AdminRequest, { bootstrap, store }: AdminContext): AdminReply => {
  const answer = configDump(bootstrap, store, {
    resource: query.get("resource") ?? undefined,
    mask: query.get("mask") ?? undefined,
    nameRegex: query.get("name_regex") ?? undefined,
    includeEds: query.has("include_eds"),
  });
  return answer.kind === "dump" ? json(answer.json) : text(`${answer.message}\n`, answer.status);
};

const ready = ({ query }: AdminRequest, context: AdminContext): AdminReply => {
  const state = context.state();
  const missing = query.has("verbose") ? context.waitingFor().map((what) => `waiting for ${what}\n`) : [];
  return text(`${state}\n${missing.join("")}`, state === "LIVE" ? 200 : 503);
};

const serverInfo = (_: AdminRequest, context: AdminContext): AdminReply => {
  const uptime = toProtoDuration(Math.floor((context.clock.nowMs() - context.startedAtMs) / 1000) * 1000);
  return json({
    version: context.version,
    state: context.state(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: "disabled",
    command_line_options: {
      concurrency: context.options.concurrency,
      drain_time: toProtoDuration(context.options.drainTimeMs),
      log_level: levelName(context.log.levels().get("main") ?? "info"),
    },
    node: toProtoNames(NodeSchema, (context.bootstrap.json.node ?? {}) as JsonValue),
  });
};

const memory = (_: AdminRequest, context: AdminContext): AdminReply => {
  const { allocated, heapSize, physical } = context.memory();
  return json({
    allocated: String(allocated),
    heap_size: String(heapSize),
    pageheap_unmapped: "0",
    pageheap_free: String(Math.max(0, heapSize - allocated)),
    total_thread_cache: "0",
    total_physical_bytes: String(physical),
  });
};

/** Every path, in the order `/help` lists them. */
export const adminPaths: readonly AdminPath[] = [
  { path: "/", method: "GET", help: "this list, for a browser", handle: () => index() },
  { path: "/certs", method: "GET", help: "certificates in use", handle: (_, c) => certs(c) },
  {
    path: "/clusters",
    method: "GET",
    help: "clusters and their hosts; ?format=json ?filter=",
    handle: (r, c) => hosts(r, c),
  },
  {
    path: "/config_dump",
    method: "GET",
    help: "configuration in force; ?resource= ?mask= ?name_regex= ?include_eds",
    handle: dump,
  },
  {
    path: "/contention",
    method: "GET",
    help: "mutex contention: there are no mutexes",
    handle: () => text("Mutex contention tracing is not enabled.\n"),
  },
  {
    path: "/discovery_cache",
    method: "GET",
    help: "levels of the discovery cache, and what was fetched on demand; ?entries lists the disk's",
    handle: ({ query }, { cache, clock }) =>
      json(cacheJson(cache(), { wallMs: clock.wallMs(), entries: query.has("entries") })),
  },
  {
    path: "/drain_listeners",
    method: "POST",
    help: "stop accepting; ?inboundonly ?graceful (tell clients to leave, for the drain time, first) ?skip_exit (only that)",
    handle: (r, c) => drain(r, c),
  },
  {
    path: "/healthcheck/fail",
    method: "POST",
    help: "report as not ready, and tell clients to leave with each answer",
    handle: (_, c) => health(c, true),
  },
  {
    path: "/healthcheck/ok",
    method: "POST",
    help: "report as ready again, and keep connections",
    handle: (_, c) => health(c, false),
  },
  { path: "/help", method: "GET", help: "this list", handle: () => text(helpText()) },
  { path: "/hot_restart_version", method: "GET", help: "always disabled", handle: () => text("disabled") },
  { path: "/init_dump", method: "GET", help: "what is waited for", handle: (_, c) => initDump(c) },
  { path: "/listeners", method: "GET", help: "bound addresses; ?format=json", handle: listeners },
  {
    path: "/logging",
    method: "GET",
    help: "show or (POST) set levels; ?level= ?paths= ?<name>= &for=",
    handle: (r, c) => answerLogging(r, c.log),
  },
  { path: "/memory", method: "GET", help: "memory in use", handle: memory },
  { path: "/quitquitquit", method: "POST", help: "drain and exit", handle: (_, c) => quit(c) },
  { path: "/ready", method: "GET", help: "200 LIVE, or 503; ?verbose says what is missing", handle: ready },
  { path: "/reopen_logs", method: "POST", help: "open access log files anew", handle: (_, c) => reopen(c) },
  { path: "/reset_counters", method: "POST", help: "show counters from 0 again", handle: (_, c) => reset(c) },
  {
    path: "/runtime",
    method: "GET",
    help: "runtime values: there are none",
    handle: () => json({ entries: {}, layers: [] }),
  },
  {
    path: "/runtime_modify",
    method: "POST",
    help: "there is no layer to change",
    handle: () => text("No admin layer specified", 503),
  },
  { path: "/server_info", method: "GET", help: "version, state, uptime, node", handle: serverInfo },
  {
    path: "/stats",
    method: "GET",
    help: "statistics; ?usedonly ?filter= ?invert_filter ?type= ?format= ?histogram_buckets=",
    handle: stats,
  },
  { path: "/stats/prometheus", method: "GET", help: "statistics for Prometheus", handle: (r, c) => prometheus(r, c) },
];

const helpText = (): string =>
  `admin commands are:\n${adminPaths
    .map(({ path, method, help }) => `  ${path}${method === "POST" ? " (POST)" : ""}: ${help}\n`)
    .join("")}`;

const index = (): AdminReply => ({
  status: 200,
  type: "text/html; charset=UTF-8",
  body: `<!doctype html><title>weft sidecar</title><h1>weft sidecar</h1><ul>${adminPaths
    .map(({ path, method, help }) =>
      method === "GET" ? `<li><a href="${path}">${path}</a> ${help}</li>` : `<li>POST ${path} ${help}</li>`,
    )
    .join("")}</ul>\n`,
});

const certs = (context: AdminContext): AdminReply => json(certificatesJson(context.store, context.clock.wallMs()));
const hosts = ({ query }: AdminRequest, context: AdminContext): AdminReply => {
  const filter = query.get("filter");
  try {
    const listings = clusterListings(context, filter ? partialMatch(filter, "filter") : () => true);
    return query.get("format") === "json" ? json(clustersJson(listings)) : text(clustersText(listings));
  } catch (error) {
    return badExpression(error);
  }
};
const badExpression = (error: unknown): AdminReply =>
  text(`Invalid re2 regex: ${error instanceof ConfigError ? error.problem : String(error)}\n`, 400);
const prometheus = (request: AdminRequest, context: AdminContext): AdminReply =>
  printed(request, context, "prometheus");
const reopen = ({ actions }: AdminContext): AdminReply => {
  actions.reopenLogs();
  return done;
};
const reset = ({ stats: printer }: AdminContext): AdminReply => {
  printer.reset();
  return done;
};
const drain = ({ query }: AdminRequest, { actions }: AdminContext): AdminReply => {
  actions.drainListeners({
    scope: query.has("inboundonly") ? "inbound" : "all",
    graceful: query.has("graceful"),
    skipExit: query.has("skip_exit"),
  });
  return done;
};
const health = ({ actions }: AdminContext, failed: boolean): AdminReply => {
  actions.failHealthCheck(failed);
  return done;
};
const quit = ({ actions }: AdminContext): AdminReply => {
  actions.quit();
  return done;
};
const initDump = ({ store }: AdminContext): AdminReply => {
  const dumps = store.waiting().map(({ of, name, needs }) => ({ name: `${of} ${name}`, target_names: [...needs] }));
  return json(dumps.length === 0 ? {} : { unready_targets_dumps: dumps });
};

/** Answers a request: 404 off the list, 405 where what changes state is not POSTed. */
export const answerAdmin = (request: AdminRequest, context: AdminContext): AdminReply => {
  const method = request.method === "HEAD" ? "GET" : request.method;
  const found = adminPaths.find(({ path }) => path === request.path);
  if (!found) return text(`invalid path. ${helpText()}`, 404);
  // Envoy's readers may be POSTed to as well.
  if (found.method === "POST" ? method !== "POST" : method !== "GET" && method !== "POST")
    return text(`Method ${request.method} not allowed, ${found.method} required.`, 405);
  return found.handle(request, context);
};

/**
 * Why a request is not served at all: its Host is a name, which could be a foreign one that resolves here (DNS
 * rebinding), or it was sent by a page of another origin, which an address as its host does not make ours. Addresses
 * cannot be rebound.
 */
export const refuseForeign = (headers: {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}): string | undefined => {
  const urlOf = (text: string): URL | undefined => URL.parse(text) ?? undefined;
  const own = urlOf(`http://${headers.host ?? ""}`);
  if (!own || !/^localhost$|^\[.*\]$|^\d+\.\d+\.\d+\.\d+$/.test(own.hostname))
    return "the Host header names neither an address nor localhost";
  if (headers.origin !== undefined && urlOf(headers.origin)?.host !== own.host)
    return "the request comes from a page of another origin";
  return undefined;
};

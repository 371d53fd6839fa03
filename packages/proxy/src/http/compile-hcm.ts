import { ConfigError } from "@weft/core/config-error";
import type {
  HttpConnectionManager_SetCurrentClientCertDetailsJson,
  HttpConnectionManager_UpgradeConfigJson,
  HttpConnectionManagerJson,
} from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { openAny } from "../compile/any.ts";
import { durationMs, member, oneOf, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { FilterTools, HttpFilter, ProxyNode } from "../filters/http/filter.ts";
import { configureHttpFilter } from "../filters/http/index.ts";
import { routerSettings } from "../filters/http/router.ts";
import { compileIpRange, type IpRange } from "../listeners/ip-range.ts";
import { type AccessLogTools, compileAccessLog } from "../observe/access-log.ts";
import type { Stats } from "../observe/stats.ts";
import type { NormalizeOptions } from "../routing/normalize-path.ts";
import { compileRouteTable } from "../routing/route-table.ts";
import { hcmCounters } from "./hcm-counters.ts";
import type { HcmSettings, HttpTools, RouteSource, XfccMode, XfccSettings } from "./hcm-settings.ts";
import { compileHttp2Server } from "./http2-options.ts";
import type { Leaving } from "./leaving.ts";
import {
  defaultConnectionIdleMs,
  defaultDelayedCloseMs,
  defaultHeadersMax,
  defaultHeadKiB,
  defaultHeadMs,
  defaultStreamIdleMs,
} from "./limits.ts";
import { compileLocalReplies } from "./local-replies.ts";

/** What compiling connection managers needs of the data plane. */
export interface HcmTools {
  readonly http: HttpTools;
  readonly stats: Stats;
  readonly node: ProxyNode;
  /** `listener.` and its address, for what is counted by listener. */
  readonly listener?: string;
  /** What the listener's requests ask. */
  readonly leaving: Leaving;
  readonly setTimer: FilterTools["setTimer"];
  readonly buckets?: FilterTools["buckets"];
  readonly onDemand?: FilterTools["onDemand"];
  readonly logs: AccessLogTools;
  /** The place where RDS puts the routes of that name. */
  readonly routeSource: (name: string) => RouteSource;
}

const used = [
  "codecType",
  "statPrefix",
  "rds",
  "routeConfig",
  "httpFilters",
  "commonHttpProtocolOptions",
  "httpProtocolOptions",
  "http2ProtocolOptions",
  "serverName",
  "serverHeaderTransformation",
  "maxRequestHeadersKb",
  "streamIdleTimeout",
  "requestTimeout",
  "requestHeadersTimeout",
  "delayedCloseTimeout",
  "accessLog",
  "useRemoteAddress",
  "internalAddressConfig",
  "xffNumTrustedHops",
  "skipXffAppend",
  "via",
  "generateRequestId",
  "preserveExternalRequestId",
  "alwaysSetRequestIdInResponse",
  "forwardClientCertDetails",
  "setCurrentClientCertDetails",
  "upgradeConfigs",
  "normalizePath",
  "mergeSlashes",
  "proxy100Continue",
  "pathWithEscapedSlashesAction",
  "stripMatchingHostPort",
  "stripAnyHostPort",
  "localReplyConfig",
] as const;

const headersKbMost = 8192;

/** Compiles an HttpConnectionManager; throws ConfigError for anything in it that would not be honoured. */
export const compileHcm = (json: HttpConnectionManagerJson, tools: HcmTools): HcmSettings => {
  refuseOthers(json, "HttpConnectionManager", "", used);
  const statPrefix = `http.${required(json.statPrefix, "statPrefix")}`;
  const { filters, suppressEnvoyHeaders } = compileFilters(json, statPrefix, tools);
  const log = compileAccessLog(json.accessLog, "accessLog", tools.logs);
  return {
    tools: tools.http,
    leaving: tools.leaving,
    codec: codecs[oneOf(json.codecType, ["AUTO", "HTTP1", "HTTP2"], "AUTO", "codecType")],
    routes: compileRoutes(json, tools),
    requestFilters: filters.filter(({ onRequest }) => onRequest !== undefined),
    responseFilters: filters.filter(({ onResponse }) => onResponse !== undefined).reverse(),
    endFilters: filters.filter(({ onEnd }) => onEnd !== undefined),
    filtersVary: filters.some(({ offByDefault }) => offByDefault === true),
    accessLogs: log === undefined ? [] : [{ log: log.http }],
    counters: hcmCounters(tools.stats, statPrefix, tools.listener ?? "listener.unnamed"),
    suppressEnvoyHeaders,
    rewriteReply: compileLocalReplies(json.localReplyConfig, "localReplyConfig", tools.logs),
    ...identityOf(json),
    xfcc: compileXfcc(json),
    normalize: compileNormalize(json),
    stripPort: json.stripAnyHostPort ? "any" : json.stripMatchingHostPort ? "matching" : "none",
    ...compileLimits(json),
    upgrades: compileUpgrades(json.upgradeConfigs),
    http2: compileHttp2Server(json.http2ProtocolOptions ?? {}, tools.stats, {
      at: "http2ProtocolOptions",
      prefix: statPrefix,
    }),
  };
};

const codecs = { AUTO: "auto", HTTP1: "http1", HTTP2: "http2" } as const;

const compileFilters = (
  json: HttpConnectionManagerJson,
  statPrefix: string,
  tools: HcmTools,
): { readonly filters: readonly HttpFilter[]; readonly suppressEnvoyHeaders: boolean } => {
  const filterTools: FilterTools = {
    random: tools.http.random,
    clock: tools.http.clock,
    setTimer: tools.setTimer,
    counter: (name) => tools.stats.counter(name),
    stats: tools.stats,
    node: tools.node,
    buckets: tools.buckets,
    onDemand: tools.onDemand,
    isCluster: (name) => tools.http.cluster(name) !== undefined,
    retryChain: tools.http.retryChain,
    statPrefix,
  };
  const list = json.httpFilters ?? [];
  const filters: HttpFilter[] = [];
  let suppressEnvoyHeaders = false;
  let last = "";
  for (const [index, each] of list.entries()) {
    const at = `httpFilters[${index}]`;
    const configured = configureHttpFilter(each as Parameters<typeof configureHttpFilter>[0], at);
    if (configured === undefined) continue;
    last = configured.kind.typeName;
    if (last.endsWith(".Router")) {
      const raw = each.typedConfig === undefined ? {} : openAny(each.typedConfig, at).raw;
      suppressEnvoyHeaders = routerSettings(raw).suppressEnvoyHeaders;
    }
    filters.push(configured.build(filterTools));
  }
  if (!last.endsWith(".Router")) throw new ConfigError("httpFilters", "the last filter must be the router");
  return { filters, suppressEnvoyHeaders };
};

const compileRoutes = (json: HttpConnectionManagerJson, tools: HcmTools): RouteSource => {
  if (json.routeConfig) {
    const { random, clock } = tools.http;
    const { buckets, onDemand } = tools;
    if (json.routeConfig.vhds) throw new ConfigError("routeConfig.vhds", "is taken in tables that come by RDS only");
    return { table: compileRouteTable(json.routeConfig, { random, clock, buckets, onDemand }) };
  }
  if (!json.rds) throw new ConfigError("routeConfig", "one of routeConfig and rds is required");
  refuseOthers(json.rds, "Rds", "rds", ["routeConfigName"]);
  return tools.routeSource(required(json.rds.routeConfigName, "rds.routeConfigName"));
};

const identityOf = (json: HttpConnectionManagerJson) => ({
  serverName: json.serverName || "envoy",
  serverHeader: oneOf(
    json.serverHeaderTransformation,
    ["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"],
    "OVERWRITE",
    "serverHeaderTransformation",
  ),
  generateRequestId: json.generateRequestId !== false,
  preserveRequestId: json.preserveExternalRequestId === true,
  requestIdInResponse: json.alwaysSetRequestIdInResponse === true,
  useRemoteAddress: json.useRemoteAddress === true,
  internalRanges: compileInternal(json),
  trustedHops: json.xffNumTrustedHops ?? 0,
  skipXffAppend: json.skipXffAppend === true,
  via: json.via ?? "",
});

const compileInternal = ({ internalAddressConfig: json }: HttpConnectionManagerJson): readonly IpRange[] => {
  if (!json) return [];
  refuseOthers(json, "InternalAddressConfig", "internalAddressConfig", ["cidrRanges"]);
  return (json.cidrRanges ?? []).map((range, index) =>
    compileIpRange(range, `internalAddressConfig.cidrRanges[${index}]`),
  );
};

const xfccModes: ReadonlyMap<string, XfccMode> = new Map([
  ["SANITIZE", "sanitize"],
  ["FORWARD_ONLY", "forwardOnly"],
  ["APPEND_FORWARD", "appendForward"],
  ["SANITIZE_SET", "sanitizeSet"],
  ["ALWAYS_FORWARD_ONLY", "alwaysForwardOnly"],
]);

const compileXfcc = (json: HttpConnectionManagerJson): XfccSettings => {
  const mode = xfccModes.get(json.forwardClientCertDetails ?? "SANITIZE");
  if (mode === undefined) throw new ConfigError("forwardClientCertDetails", "is not known");
  const details: HttpConnectionManager_SetCurrentClientCertDetailsJson = json.setCurrentClientCertDetails ?? {};
  refuseOthers(details, "SetCurrentClientCertDetails", "setCurrentClientCertDetails", [
    "subject",
    "cert",
    "dns",
    "uri",
  ]);
  return {
    mode,
    subject: details.subject === true,
    cert: details.cert === true,
    dns: details.dns === true,
    uri: details.uri === true,
  };
};

const escapedSlashes = {
  IMPLEMENTATION_SPECIFIC_DEFAULT: "keep",
  KEEP_UNCHANGED: "keep",
  REJECT_REQUEST: "reject",
  UNESCAPE_AND_REDIRECT: "redirect",
  UNESCAPE_AND_FORWARD: "forward",
} as const;

const compileNormalize = (json: HttpConnectionManagerJson): NormalizeOptions | undefined => {
  const action = json.pathWithEscapedSlashesAction ?? "IMPLEMENTATION_SPECIFIC_DEFAULT";
  const options: NormalizeOptions = {
    normalize: json.normalizePath === true,
    mergeSlashes: json.mergeSlashes === true,
    escapedSlashes: escapedSlashes[action],
  };
  return options.normalize || options.mergeSlashes || options.escapedSlashes !== "keep" ? options : undefined;
};

const underscores = { ALLOW: "accept", REJECT_REQUEST: "refuse", DROP_HEADER: "drop" } as const;

const compileLimits = (json: HttpConnectionManagerJson) => {
  const common = json.commonHttpProtocolOptions ?? {};
  const at = "commonHttpProtocolOptions";
  refuseOthers(common, "HttpProtocolOptions", at, [
    "idleTimeout",
    "maxConnectionDuration",
    "maxHeadersCount",
    "maxStreamDuration",
    "headersWithUnderscoresAction",
    "maxRequestsPerConnection",
  ]);
  refuseOthers(json.httpProtocolOptions ?? {}, "Http1ProtocolOptions", "httpProtocolOptions", ["acceptHttp10"]);
  const kb = unsigned(json.maxRequestHeadersKb ?? undefined, "maxRequestHeadersKb") ?? defaultHeadKiB;
  if (kb === 0 || kb > headersKbMost) throw new ConfigError("maxRequestHeadersKb", `must be 1 to ${headersKbMost}`);
  return {
    streamIdleTimeoutMs: durationMs(json.streamIdleTimeout, "streamIdleTimeout") ?? defaultStreamIdleMs,
    requestTimeoutMs: durationMs(json.requestTimeout, "requestTimeout") ?? 0,
    requestHeadersTimeoutMs: durationMs(json.requestHeadersTimeout, "requestHeadersTimeout") ?? defaultHeadMs,
    connectionIdleTimeoutMs: durationMs(common.idleTimeout, member(at, "idleTimeout")) ?? defaultConnectionIdleMs,
    maxConnectionDurationMs: durationMs(common.maxConnectionDuration, member(at, "maxConnectionDuration")) ?? 0,
    maxRequestsPerConnection: common.maxRequestsPerConnection ?? 0,
    maxStreamDurationMs: durationMs(common.maxStreamDuration, member(at, "maxStreamDuration")) ?? 0,
    delayedCloseTimeoutMs: durationMs(json.delayedCloseTimeout, "delayedCloseTimeout") ?? defaultDelayedCloseMs,
    headersMax: common.maxHeadersCount ?? defaultHeadersMax,
    headBytesMax: kb * 1024,
    underscoreNames: underscores[common.headersWithUnderscoresAction ?? "ALLOW"],
    acceptHttp10: json.httpProtocolOptions?.acceptHttp10 === true,
  };
};

const compileUpgrades = (list: readonly HttpConnectionManager_UpgradeConfigJson[] | undefined): ReadonlySet<string> => {
  const upgrades = new Set<string>();
  for (const [index, json] of (list ?? []).entries()) {
    const at = `upgradeConfigs[${index}]`;
    refuseOthers(json, "UpgradeConfig", at, ["upgradeType", "enabled"]);
    const type = required(json.upgradeType, member(at, "upgradeType")).toLowerCase();
    if (json.enabled !== false) upgrades.add(type);
  }
  return upgrades;
};

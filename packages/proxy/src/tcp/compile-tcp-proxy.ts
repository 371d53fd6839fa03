import { ConfigError } from "@weft/core/config-error";
import type { TcpProxyJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { durationMs, member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import { type AccessLogTools, compileAccessLog } from "../observe/access-log.ts";
import type { Counter, Gauge, Stats } from "../observe/stats.ts";
import type { TcpExchange } from "../observe/tcp-exchange.ts";
import type { OnDemand } from "../on-demand/on-demand.ts";
import { type AwaitCluster, compileTcpDemand } from "../on-demand/tcp-demand.ts";
import { compileTunnel, type TunnelSettings } from "./compile-tunnel.ts";
import { type ChooseTcp, compileChoice, compileTcpHash, type HashConnection } from "./tcp-choice.ts";
import type { TcpTools } from "./tcp-proxy.ts";

/** A compiled tcp_proxy; immutable. */
export interface TcpProxySettings {
  readonly tools: TcpTools;
  readonly choose: ChooseTcp;
  readonly hash: HashConnection | undefined;
  /** Has a connection wait for a cluster that is not here; absent where nothing is fetched. */
  readonly awaitCluster?: AwaitCluster | undefined;
  /** Bytes go through another proxy. */
  readonly tunnel: TunnelSettings | undefined;
  /** The port of names that clients ask for by TLS, where their cluster resolves those. */
  readonly dynamicPort: number;
  readonly idleTimeoutMs: number;
  readonly maxDurationMs: number;
  readonly connectAttempts: number;
  readonly log: ((tcp: TcpExchange) => void) | undefined;
  /** Log lines besides the last one: as soon as the upstream's side stands, and every so often; 0 is never. */
  readonly logsConnected: boolean;
  readonly logEveryMs: number;
  readonly observers: readonly TcpObserver[];
  /** Of the process: connections made while it was not known yet whether the client's bytes would need one. */
  readonly earlyDials: {
    readonly made: Counter;
    readonly used: Counter;
    readonly unused: Counter;
    readonly failed: Counter;
  };
  readonly counters: TcpCounters;
}

export interface TcpCounters {
  readonly connections: Counter;
  readonly active: Gauge;
  readonly noRoute: Counter;
  /** Bytes from the client, and to it. */
  readonly received: Counter;
  readonly sent: Counter;
  readonly idleTimeouts: Counter;
  readonly maxDurations: Counter;
}

/** Who counts connections: `istio.stats` in a chain of network filters. */
export interface TcpObserver {
  readonly tcpOpened: (tcp: TcpExchange) => void;
  readonly tcpProgress: (tcp: TcpExchange) => void;
  readonly tcpClosed: (tcp: TcpExchange) => void;
}

/** What the filters in front of tcp_proxy made of their settings. */
export interface TcpFiltersAhead {
  readonly observers: readonly TcpObserver[];
  /** sni_cluster. */
  readonly bySni: boolean;
  /** sni_dynamic_forward_proxy. */
  readonly dynamicPort: number;
}

export interface TcpCompileTools {
  readonly tcp: TcpTools;
  readonly stats: Stats;
  readonly logs: AccessLogTools;
  readonly onDemand?: OnDemand | undefined;
}

const defaultIdleMs = 3_600_000;

export const compileTcpProxy = (
  json: TcpProxyJson,
  ahead: TcpFiltersAhead,
  { tcp, stats, logs, onDemand }: TcpCompileTools,
): TcpProxySettings => {
  refuseOthers(json, "TcpProxy", "", [
    "statPrefix",
    "cluster",
    "weightedClusters",
    "metadataMatch",
    "idleTimeout",
    "accessLog",
    "accessLogFlushInterval",
    "flushAccessLogOnConnected",
    "accessLogOptions",
    "maxConnectAttempts",
    "maxDownstreamConnectionDuration",
    "hashPolicy",
    "tunnelingConfig",
    "onDemand",
  ]);
  const prefix = `tcp.${required(json.statPrefix, "statPrefix")}`;
  const isCluster = (name: string): boolean => tcp.cluster(name) !== undefined;
  return {
    tools: tcp,
    choose: compileChoice(json, ahead.bySni),
    hash: compileTcpHash(json.hashPolicy),
    awaitCluster: compileTcpDemand(json.onDemand, "onDemand", { onDemand, stats, isCluster }, prefix),
    tunnel: json.tunnelingConfig && compileTunnel(json.tunnelingConfig, "tunnelingConfig", tcp.clock),
    dynamicPort: ahead.dynamicPort,
    idleTimeoutMs: durationMs(json.idleTimeout, "idleTimeout") ?? defaultIdleMs,
    maxDurationMs: durationMs(json.maxDownstreamConnectionDuration, "maxDownstreamConnectionDuration") ?? 0,
    connectAttempts: Math.max(1, unsigned(json.maxConnectAttempts ?? undefined, "maxConnectAttempts") ?? 1),
    log: compileAccessLog(json.accessLog, "accessLog", logs)?.tcp,
    ...compileLogTimes(json),
    observers: ahead.observers,
    earlyDials: {
      made: stats.counter("tcp.early_dial.made"),
      used: stats.counter("tcp.early_dial.used"),
      unused: stats.counter("tcp.early_dial.unused"),
      failed: stats.counter("tcp.early_dial.failed"),
    },
    counters: {
      connections: stats.counter(`${prefix}.downstream_cx_total`),
      active: stats.gauge(`${prefix}.downstream_cx_active`),
      noRoute: stats.counter(`${prefix}.downstream_cx_no_route`),
      received: stats.counter(`${prefix}.downstream_cx_rx_bytes_total`),
      sent: stats.counter(`${prefix}.downstream_cx_tx_bytes_total`),
      idleTimeouts: stats.counter(`${prefix}.idle_timeout`),
      maxDurations: stats.counter(`${prefix}.max_downstream_connection_duration`),
    },
  };
};

const leastFlushMs = 1;

/** The newer message wins over the older fields. */
const compileLogTimes = (json: TcpProxyJson): Pick<TcpProxySettings, "logsConnected" | "logEveryMs"> => {
  const at = "accessLogOptions";
  const options = json.accessLogOptions;
  if (options)
    refuseOthers(options, "TcpAccessLogOptions", at, ["accessLogFlushInterval", "flushAccessLogOnConnected"]);
  const interval = options ? options.accessLogFlushInterval : json.accessLogFlushInterval;
  const everyMs = durationMs(interval, options ? member(at, "accessLogFlushInterval") : "accessLogFlushInterval");
  if (everyMs !== undefined && everyMs < leastFlushMs) {
    throw new ConfigError("accessLogFlushInterval", "must be a millisecond at least");
  }
  const onConnected = options ? options.flushAccessLogOnConnected : json.flushAccessLogOnConnected;
  return { logsConnected: onConnected === true, logEveryMs: everyMs ?? 0 };
};

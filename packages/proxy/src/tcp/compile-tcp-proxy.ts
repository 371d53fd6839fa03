import { ConfigError } from "@weft/core/config-error";
import type { TcpProxyJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { durationMs, refuseOthers, required, unsigned } from "../compile/fields.ts";
import { type AccessLogTools, compileAccessLog } from "../observe/access-log.ts";
import type { Counter, Gauge, Stats } from "../observe/stats.ts";
import type { TcpExchange } from "../observe/tcp-exchange.ts";
import type { TcpTools } from "./tcp-proxy.ts";

/** A compiled tcp_proxy; immutable. */
export interface TcpProxySettings {
  readonly tools: TcpTools;
  /** `draw` is in [0, 1). */
  readonly clusterName: (draw: number) => string;
  readonly idleTimeoutMs: number;
  readonly maxDurationMs: number;
  readonly connectAttempts: number;
  readonly log: ((tcp: TcpExchange) => void) | undefined;
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

export interface TcpCompileTools {
  readonly tcp: TcpTools;
  readonly stats: Stats;
  readonly logs: AccessLogTools;
}

const defaultIdleMs = 3_600_000;

export const compileTcpProxy = (
  json: TcpProxyJson,
  observers: readonly TcpObserver[],
  { tcp, stats, logs }: TcpCompileTools,
): TcpProxySettings => {
  refuseOthers(json, "TcpProxy", "", [
    "statPrefix",
    "cluster",
    "weightedClusters",
    "idleTimeout",
    "accessLog",
    "maxConnectAttempts",
    "maxDownstreamConnectionDuration",
    "hashPolicy",
  ]);
  const prefix = `tcp.${required(json.statPrefix, "statPrefix")}`;
  return {
    tools: tcp,
    clusterName: compileChoice(json),
    idleTimeoutMs: durationMs(json.idleTimeout, "idleTimeout") ?? defaultIdleMs,
    maxDurationMs: durationMs(json.maxDownstreamConnectionDuration, "maxDownstreamConnectionDuration") ?? 0,
    connectAttempts: Math.max(1, unsigned(json.maxConnectAttempts ?? undefined, "maxConnectAttempts") ?? 1),
    log: compileAccessLog(json.accessLog, "accessLog", logs)?.tcp,
    observers,
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

const compileChoice = (json: TcpProxyJson): TcpProxySettings["clusterName"] => {
  if (!json.weightedClusters) {
    const name = required(json.cluster, "cluster");
    return () => name;
  }
  const clusters = (json.weightedClusters.clusters ?? []).map((each, index) => {
    const at = `weightedClusters.clusters[${index}]`;
    refuseOthers(each, "TcpClusterWeight", at, ["name", "weight"]);
    return { name: required(each.name, `${at}.name`), weight: each.weight ?? 0 };
  });
  const total = clusters.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) throw new ConfigError("weightedClusters", "the weights must not all be 0");
  return (draw) => {
    let left = draw * total;
    for (const { name, weight } of clusters) {
      left -= weight;
      if (left < 0) return name;
    }
    return clusters.at(-1)?.name ?? "";
  };
};

/** What a connection manager counts, under Envoy's names. */
import type { Connection } from "@weft/net/tcp/connection";
import type { Counter, Gauge, Histogram, Stats } from "../observe/stats.ts";
import type { TimerWheel } from "../timers/timer-wheel.ts";
import type { Exchange } from "./exchange.ts";

export interface HcmCounters {
  readonly requests: Counter;
  readonly requestsActive: Gauge;
  readonly http1Requests: Counter;
  readonly http2Requests: Counter;
  readonly requestTime: Histogram;
  readonly completed: Counter;
  /** By hundreds: index 1 to 5. */
  readonly byClass: readonly Counter[];
  /** The same under the listener's name. */
  readonly listenerCompleted: Counter;
  readonly listenerByClass: readonly Counter[];
  /** Requests that came past every filter to the router. */
  readonly routed: Counter;
  readonly connections: Counter;
  readonly connectionsActive: Gauge;
  readonly connectionsDestroyed: Counter;
  readonly connectionLength: Histogram;
  readonly http1Connections: Counter;
  readonly http1ConnectionsActive: Gauge;
  readonly http2Connections: Counter;
  readonly http2ConnectionsActive: Gauge;
  readonly tlsConnections: Counter;
  readonly tlsConnectionsActive: Gauge;
  readonly received: Counter;
  readonly sent: Counter;
  readonly protocolErrors: Counter;
  /** Connections that were told to go for want of memory. */
  readonly keepAliveOff: Counter;
  /** Answered by the route itself; redirects are among them. */
  readonly directResponses: Counter;
  readonly clientResets: Counter;
  readonly resetsAfterStart: Counter;
  /** By the response code details they are told by. */
  readonly byDetails: ReadonlyMap<string, Counter>;
}

const classes = (stats: Stats, prefix: string): readonly Counter[] =>
  [1, 1, 2, 3, 4, 5].map((hundreds) => stats.counter(`${prefix}.downstream_rq_${hundreds}xx`));

const details: readonly (readonly [details: string, name: string])[] = [
  ["downstream_remote_disconnect", "downstream_rq_rx_reset"],
  ["route_not_found", "no_route"],
  ["cluster_not_found", "no_cluster"],
  ["request_overall_timeout", "downstream_rq_timeout"],
  ["request_header_timeout", "downstream_rq_header_timeout"],
  ["stream_idle_timeout", "downstream_rq_idle_timeout"],
  ["max_duration_timeout", "downstream_rq_max_duration_reached"],
  ["path_normalization_failed", "downstream_rq_failed_path_normalization"],
  ["absolute_path_rejected", "downstream_rq_non_relative_path"],
  ["overload", "downstream_rq_overload_close"],
  ["upgrade_failed", "downstream_rq_ws_on_non_ws_route"],
];

/** `prefix` is `http.` and the stat prefix; `listener` is `listener.` and its address. */
export const hcmCounters = (stats: Stats, prefix: string, listener: string): HcmCounters => {
  const counter = (name: string): Counter => stats.counter(`${prefix}.${name}`);
  const gauge = (name: string): Gauge => stats.gauge(`${prefix}.${name}`);
  const histogram = (name: string): Histogram => stats.histogram(`${prefix}.${name}`);
  return {
    requests: counter("downstream_rq_total"),
    requestsActive: gauge("downstream_rq_active"),
    http1Requests: counter("downstream_rq_http1_total"),
    http2Requests: counter("downstream_rq_http2_total"),
    requestTime: histogram("downstream_rq_time"),
    completed: counter("downstream_rq_completed"),
    byClass: classes(stats, prefix),
    listenerCompleted: stats.counter(`${listener}.${prefix}.downstream_rq_completed`),
    listenerByClass: classes(stats, `${listener}.${prefix}`),
    routed: counter("rq_total"),
    connections: counter("downstream_cx_total"),
    connectionsActive: gauge("downstream_cx_active"),
    connectionsDestroyed: counter("downstream_cx_destroy"),
    connectionLength: histogram("downstream_cx_length_ms"),
    http1Connections: counter("downstream_cx_http1_total"),
    http1ConnectionsActive: gauge("downstream_cx_http1_active"),
    http2Connections: counter("downstream_cx_http2_total"),
    http2ConnectionsActive: gauge("downstream_cx_http2_active"),
    tlsConnections: counter("downstream_cx_ssl_total"),
    tlsConnectionsActive: gauge("downstream_cx_ssl_active"),
    received: counter("downstream_cx_rx_bytes_total"),
    sent: counter("downstream_cx_tx_bytes_total"),
    keepAliveOff: counter("downstream_cx_overload_disable_keepalive"),
    protocolErrors: counter("downstream_cx_protocol_error"),
    directResponses: counter("rq_direct_response"),
    clientResets: counter("downstream_rq_rx_reset"),
    resetsAfterStart: counter("rq_reset_after_downstream_response_started"),
    byDetails: new Map(details.map(([told, name]) => [told, counter(name)])),
  };
};

/** Counts the head of an answer. */
export const countHead = (counters: HcmCounters, status: number): void => {
  const hundreds = Math.floor(status / 100);
  counters.completed.add(1);
  counters.byClass[hundreds]?.add(1);
  counters.listenerCompleted.add(1);
  counters.listenerByClass[hundreds]?.add(1);
};

/** Counts how a request ended that was not simply answered by its upstream. */
export const countEnding = (counters: HcmCounters, { details: told }: Exchange): void => {
  if (told === "direct_response") counters.directResponses.add(1);
  else if (told.startsWith("http1.")) counters.clientResets.add(1);
  else if (told.startsWith("upstream_reset_after_response_started")) counters.resetsAfterStart.add(1);
  else counters.byDetails.get(told)?.add(1);
};

/** One client connection as it is counted, from its first to its last moment. */
export class ConnectionCount {
  private readonly counters: HcmCounters;
  private readonly connection: Connection;
  private readonly wheel: TimerWheel;
  private readonly startMs: number;
  private readonly tls: boolean;
  private version: Gauge | undefined = undefined;
  private told = { received: 0, sent: 0 };

  constructor(counters: HcmCounters, connection: Connection, tls: boolean, wheel: TimerWheel) {
    this.counters = counters;
    this.connection = connection;
    this.wheel = wheel;
    this.tls = tls;
    this.startMs = wheel.nowMs();
    counters.connections.add(1);
    counters.connectionsActive.add(1);
    if (!tls) return;
    counters.tlsConnections.add(1);
    counters.tlsConnectionsActive.add(1);
  }

  /** The version it speaks is known. */
  speaks(version: "http1" | "http2"): void {
    const { counters } = this;
    const http1 = version === "http1";
    this.version = http1 ? counters.http1ConnectionsActive : counters.http2ConnectionsActive;
    this.version.add(1);
    (http1 ? counters.http1Connections : counters.http2Connections).add(1);
  }

  /** Counts the bytes since the last time. */
  bytes(): void {
    const { connection, told, counters } = this;
    counters.received.add(connection.bytesIn - told.received);
    counters.sent.add(connection.bytesOut - told.sent);
    told.received = connection.bytesIn;
    told.sent = connection.bytesOut;
  }

  gone(): void {
    const { counters } = this;
    this.bytes();
    counters.connectionsActive.add(-1);
    counters.connectionsDestroyed.add(1);
    counters.connectionLength.record(Math.round(this.wheel.nowMs() - this.startMs));
    this.version?.add(-1);
    if (this.tls) counters.tlsConnectionsActive.add(-1);
  }
}

/**
 * Istio's standard metrics with their labels, for requests and TCP connections. The series of a request is found
 * through a small tree of caches keyed by what decides its labels, so that counting is a few slot stores.
 */
import type { Clock } from "@weft/core/world";
import type { ProxyNode } from "../filters/http/filter.ts";
import type { Exchange } from "../http/exchange.ts";
import { isGrpcContentType } from "../matching/grpc.ts";
import { describeTraffic, requestLabels, type Traffic, tcpLabels } from "./istio-labels.ts";
import { type Peer, peerOfNode } from "./peer.ts";
import type { Counter, Histogram, Stats } from "./stats.ts";
import type { TcpExchange } from "./tcp-exchange.ts";

/** Cached series look-ups; beyond it the cache starts anew. The series themselves are bounded by the stats. */
const cachedMax = 8192;

/** Destinations that are known by the Host header alone: it is the client's to make up. Others are `unknown`. */
const hostsByHeaderMax = 200;

interface RequestSeries {
  readonly requests: Counter;
  readonly duration: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
  readonly requestMessages: Counter | undefined;
  readonly responseMessages: Counter | undefined;
}

interface TcpSeries {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly sent: Counter;
  readonly received: Counter;
}

export interface IstioMetrics {
  /** Counts a request when it is over. */
  readonly request: (exchange: Exchange) => void;
  readonly tcpOpened: (tcp: TcpExchange) => void;
  /** Adds the bytes since the last report; for long connections, now and then. */
  readonly tcpProgress: (tcp: TcpExchange) => void;
  readonly tcpClosed: (tcp: TcpExchange) => void;
}

export interface IstioMetricsOptions {
  readonly stats: Stats;
  readonly node: ProxyNode;
  readonly clock: Clock;
  /** Name a destination without service metadata by the Host header. */
  readonly hostHeaderFallback: boolean;
}

/** What decided the labels of a request, and what they led to. Where all of it is the same again, so are the series. */
interface Recent {
  readonly cluster: unknown;
  readonly peer: unknown;
  readonly inbound: boolean;
  readonly authority: string;
  readonly route: unknown;
  readonly principal: string;
  readonly answer: number;
  readonly flags: string;
  readonly series: RequestSeries;
}

/** Requests in a row that may differ before the tree of caches is asked. */
const recentMax = 8;

type ByFlags = Map<string, RequestSeries>;
type ByAnswer = Map<number, ByFlags>;
type ByPrincipal = Map<string, ByAnswer>;
type ByPeer = Map<unknown, ByPrincipal>;

const noCluster = {};

/** Status, gRPC status and protocol as one number. */
const answerKey = (status: number, grpcStatus: number, grpc: boolean): number =>
  (status * 256 + grpcStatus + 1) * 2 + (grpc ? 1 : 0);

const child = <K, V>(
  table: { get(key: K): V | undefined; set(key: K, value: V): unknown },
  key: K,
  make: () => V,
): V => {
  let value = table.get(key);
  if (value === undefined) {
    value = make();
    table.set(key, value);
  }
  return value;
};

const requestSeries = (stats: Stats, traffic: Traffic, grpc: boolean): RequestSeries => {
  const labels = requestLabels(traffic);
  return {
    requests: stats.labelledCounter("istio_requests_total", labels),
    duration: stats.labelledHistogram("istio_request_duration_milliseconds", labels),
    requestBytes: stats.labelledHistogram("istio_request_bytes", labels),
    responseBytes: stats.labelledHistogram("istio_response_bytes", labels),
    requestMessages: grpc ? stats.labelledCounter("istio_request_messages_total", labels) : undefined,
    responseMessages: grpc ? stats.labelledCounter("istio_response_messages_total", labels) : undefined,
  };
};

const tcpSeries = (stats: Stats, traffic: Traffic): TcpSeries => {
  const labels = tcpLabels(traffic);
  return {
    opened: stats.labelledCounter("istio_tcp_connections_opened_total", labels),
    closed: stats.labelledCounter("istio_tcp_connections_closed_total", labels),
    sent: stats.labelledCounter("istio_tcp_sent_bytes_total", labels),
    received: stats.labelledCounter("istio_tcp_received_bytes_total", labels),
  };
};

/** Finds the series of a request through the tree of caches. */
const createSeriesCache = (options: IstioMetricsOptions, self: Peer) => {
  const { stats, hostHeaderFallback } = options;
  let cache = new WeakMap<object, ByPeer>();
  let cached = 0;
  const hosts = new Set<string>();
  const admitted = (host: string): boolean => {
    if (hosts.has(host)) return true;
    if (hosts.size >= hostsByHeaderMax) return false;
    hosts.add(host);
    return true;
  };

  const search = (exchange: Exchange, grpc: boolean): RequestSeries => {
    const { downstream, cluster, request } = exchange;
    const inbound = downstream.direction === "inbound";
    const byPeer = child(cache, cluster ?? noCluster, () => new Map() as ByPeer);
    const byPrincipal = child(byPeer, peerKey(exchange, inbound), () => new Map() as ByPrincipal);
    const named = cluster?.metadata.istio?.services !== undefined;
    const byHost = !named && !inbound && hostHeaderFallback && admitted(request.authority.toLowerCase());
    const principal = principalOf(exchange, inbound);
    const caller = named
      ? principal
      : `${principal} ${byHost ? request.authority : ""} ${exchange.route?.virtualHost} ${exchange.route?.name}`;
    const byAnswer = child(byPrincipal, caller, () => new Map() as ByAnswer);
    const answer = answerKey(exchange.response.status, exchange.grpcStatus, grpc);
    const byFlags = child(byAnswer, answer, () => new Map() as ByFlags);
    const found = byFlags.get(exchange.flags);
    if (found) return found;
    const made = requestSeries(stats, describeTraffic(exchange, { self, grpc, hostHeaderFallback: byHost }), grpc);
    byFlags.set(exchange.flags, made);
    if (++cached > cachedMax) {
      cache = new WeakMap();
      cached = 0;
    }
    return made;
  };

  const recent: Recent[] = [];
  let next = 0;
  return (exchange: Exchange, grpc: boolean): RequestSeries => {
    const { cluster, route, flags } = exchange;
    const { authority } = exchange.request;
    const inbound = exchange.downstream.direction === "inbound";
    const peer = peerKey(exchange, inbound);
    const principal = principalOf(exchange, inbound);
    const answer = answerKey(exchange.response.status, exchange.grpcStatus, grpc);
    for (let i = 0; i < recent.length; i++) {
      const each = recent[i] as Recent;
      if (
        each.peer === peer &&
        each.cluster === cluster &&
        each.route === route &&
        each.answer === answer &&
        each.inbound === inbound &&
        each.flags === flags &&
        each.principal === principal &&
        each.authority === authority
      ) {
        return each.series;
      }
    }
    const series = search(exchange, grpc);
    recent[next] = { cluster, peer, inbound, authority, route, principal, answer, flags, series };
    next = (next + 1) % recentMax;
    return series;
  };
};

/** Without an exchange of metadata the endpoint tells who the peer is. */
const peerKey = ({ peer, host }: Exchange, inbound: boolean): unknown => peer ?? (inbound ? undefined : host);

const principalOf = ({ downstream, upstreamTls }: Exchange, inbound: boolean): string =>
  (inbound ? downstream.tls?.peerUris[0] : upstreamTls?.peerUri) ?? "";

const addBytes = (tcp: TcpExchange, series: TcpSeries): void => {
  series.received.add(tcp.requestBodyBytes - tcp.reportedRequestBytes);
  series.sent.add(tcp.responseBodyBytes - tcp.reportedResponseBytes);
  tcp.reportedRequestBytes = tcp.requestBodyBytes;
  tcp.reportedResponseBytes = tcp.responseBodyBytes;
};

export const createIstioMetrics = (options: IstioMetricsOptions): IstioMetrics => {
  const { stats, node, clock, hostHeaderFallback } = options;
  const self = peerOfNode(node);
  const find = createSeriesCache(options, self);
  // Flags are known only at the end, so each call resolves its series: connections are rarer than requests.
  const seriesOf = (tcp: TcpExchange): TcpSeries =>
    tcpSeries(stats, describeTraffic(tcp, { self, grpc: false, hostHeaderFallback }));

  return {
    request: (exchange) => {
      const grpc = isGrpcContentType(exchange.request.headers.get("content-type"));
      const series = find(exchange, grpc);
      series.requests.add(1);
      series.duration.record(clock.nowMs() - exchange.startMs);
      series.requestBytes.record(exchange.requestBodyBytes);
      series.responseBytes.record(exchange.responseBodyBytes);
      series.requestMessages?.add(exchange.requestMessages);
      series.responseMessages?.add(exchange.responseMessages);
    },
    tcpOpened: (tcp) => seriesOf(tcp).opened.add(1),
    tcpProgress: (tcp) => addBytes(tcp, seriesOf(tcp)),
    tcpClosed: (tcp) => {
      const series = seriesOf(tcp);
      addBytes(tcp, series);
      series.closed.add(1);
    },
  };
};

import type { SocketAddress } from "@weft/core/address";
import type { PickRequest } from "../balancers/balancer.ts";
import type { AddressFamily, ResolverSettings } from "../dns/resolve-name.ts";
import type { UpstreamProxyProtocol } from "../proxy-protocol/upstream-header.ts";
import type { CertificatePins } from "./certificate-pins.ts";
import type { Breaker } from "./circuit-load.ts";
import type { ClusterTimes } from "./cluster-times.ts";
import type { Host } from "./host.ts";

/** A compiled cluster: immutable settings, live hosts and counters. One object per name, swapped whole on change. */
export interface Cluster {
  readonly name: string;
  /** It has found out by itself what it has to, such as the addresses of its names. */
  readonly warm?: boolean;
  /** `alt_stat_name` where given, else the name. */
  readonly statName: string;
  readonly connectTimeoutMs: number;
  readonly http: UpstreamHttp;
  readonly limits: CircuitLimits;
  /** The same cluster as requests of priority HIGH meet it: with limits, load and connections of their own. */
  readonly high?: () => Cluster;
  readonly highLimits?: CircuitLimits;
  /** This is such a view. */
  readonly isHigh?: boolean;
  /** What is in use against `limits`. Carried over when the cluster is recompiled. */
  readonly load: CircuitLoad;
  readonly discovery: ClusterDiscovery;
  readonly tls: readonly TransportMatch[];
  readonly defaultTransport: UpstreamTransport;
  readonly tcpKeepalive: { readonly probes: number; readonly timeMs: number; readonly intervalMs: number } | undefined;
  readonly happyEyeballs: HappyEyeballs;
  readonly perConnectionBufferBytesMax: number;
  /** Connections ahead of need, as multiples of what is in use: 1 is none. */
  readonly preconnect: { readonly perUpstreamRatio: number; readonly predictiveRatio: number };
  /** TCP connections end when their host is put out; those of HTTP are given up at the end of their request anyway. */
  readonly closesOnFailure: boolean;
  /** Local addresses that upstream connections come from, the first of the host's family; none: the system chooses. */
  readonly sourceAddresses: readonly string[];
  /** `metadata.filter_metadata` of the cluster: `istio.services`, `istio.config`, `istio.subset`. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly counters: ClusterCounters;
  /** How long things took, as histograms that come to be with their first value. */
  readonly times: ClusterTimes;
  /** A hash of the request decides its host. */
  readonly byHash?: boolean;
  hosts(): readonly Host[];
  /** Chooses by priority, panic, locality, subset, then the balancer. Synchronous, allocates nothing. */
  pick(request: PickRequest): Host | undefined;
  /** Whether `pick` gave nobody because the request is one of those to drop. Ask right after it. */
  wasDropped(): boolean;
  /** The host that the next pick without a hash will give; nobody where none is connected to ahead of need, or by hash. */
  foresee(): Host | undefined;
  /** The transport for that host: first match of `transport_socket_matches`, else `defaultTransport`. */
  transportOf(host: Host): UpstreamTransport;
  /** Tells outlier detection (if any) and host statistics how an attempt ended. */
  report(host: Host, outcome: Outcome, nowMs: number): void;
}

export type Outcome =
  | { readonly kind: "response"; readonly status: number }
  | { readonly kind: "localOrigin"; readonly cause: "connect-failure" | "connect-timeout" | "timeout" | "reset" }
  | { readonly kind: "connected" };

export interface UpstreamHttp {
  /** `downstream`: the same version as the client's (use_downstream_protocol_config); `auto`: by ALPN, else http1. */
  readonly protocol: "http1" | "http2" | "downstream" | "auto";
  readonly maxRequestsPerConnection: number;
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number | undefined;
  readonly maxConcurrentStreams: number;
  readonly keepalive: { readonly intervalMs: number; readonly timeoutMs: number } | undefined;
  /** What of a server's TLS follows the name that a request is for; absent where all is configured. */
  readonly names?: UpstreamNames | undefined;
}

export interface UpstreamNames {
  /** It is asked for by that name. */
  readonly sni: boolean;
  /** Its certificate has to tell that name. */
  readonly san: boolean;
  /** Lower case: the header that gives the name, where there is one and the request has it; else its authority. */
  readonly header: string;
}

/** Infinity where unlimited. */
export interface CircuitLimits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | undefined;
  /** Connections to each host; absent where only the cluster's bound holds. */
  readonly maxHostConnections?: number | undefined;
  /** How much is left of each limit is shown. */
  readonly tracksRemaining?: boolean;
  /** Somebody wrote them. */
  readonly given?: boolean;
}

/**
 * What is in use against the limits. Whoever takes gives back, exactly once; with several threads a limit holds for
 * all of them together.
 */
export interface CircuitLoad {
  readonly connections: number;
  readonly pendingRequests: number;
  readonly requests: number;
  readonly retries: number;
  /** Hosts that outlier detection keeps out. */
  readonly ejections: number;
  /** Takes one, unless `max` are in use. */
  take(of: Breaker, max: number): boolean;
  /** Takes one whatever is in use. */
  force(of: Breaker): void;
  give(of: Breaker): void;
  takeEjection(max: number): boolean;
  giveEjection(): void;
}

/** In which order several addresses of one host are tried. */
export interface HappyEyeballs {
  /** That of the first address where it is not said. */
  readonly firstFamily: "v4" | "v6" | undefined;
  /** So many of the first family before one of another. */
  readonly count: number;
}

export type ClusterDiscovery =
  | { readonly kind: "static" }
  | { readonly kind: "eds"; readonly serviceName: string }
  | ({ readonly kind: "strictDns" | "logicalDns"; readonly names: readonly SocketAddress[] } & DnsRefresh)
  | {
      readonly kind: "originalDst";
      /** Lower case: the request header that may name another address. */
      readonly header: string | undefined;
      /** In place of the address's own. */
      readonly port: number | undefined;
      /** The namespace of dynamic metadata and the keys in it that lead to an address. */
      readonly metadata: readonly string[] | undefined;
    }
  | {
      readonly kind: "dynamic";
      readonly names: DynamicNames;
      /** TLS without names of its own for each host was asked for. */
      readonly insecure: boolean;
    };

/** The cache of names that requests ask for. */
export interface DynamicNames {
  /** What its statistics are called by. */
  readonly name: string;
  readonly refresh: DnsRefresh;
  /** A host that nobody asked for this long is dropped. */
  readonly hostTtlMs: number;
  readonly hostsMax: number;
  /** Requests that wait for an answer. */
  readonly pendingMax: number;
  /** 0 is no limit. */
  readonly queryTimeoutMs: number;
  /** Resolved before anybody asks. */
  readonly early: readonly SocketAddress[];
}

/** How a name is kept resolved. */
export interface DnsRefresh {
  readonly refreshMs: number;
  /** How soon to ask again after a failure. */
  readonly failureRefreshMs: number;
  /** Each failure in a row doubles the time to the next question, up to this. */
  readonly failureRefreshMostMs: number;
  /** The time after a failure is drawn from nothing up to what it is; else it is as long as that. */
  readonly failureRandom: boolean;
  /** The time after a success is longer by what is drawn up to this. */
  readonly jitterMs: number;
  readonly respectTtl: boolean;
  /** No address is kept for less, whatever its time to live. */
  readonly ttlLeastMs: number;
  readonly family: AddressFamily;
  readonly resolver: ResolverSettings;
}

export interface TransportMatch {
  readonly name: string;
  /** All of these must be in the host's metadata under `envoy.transport_socket_match`. Empty matches any host. */
  readonly match: Readonly<Record<string, string>>;
  readonly transport: UpstreamTransport;
}

export type UpstreamTransport = UpstreamPlaintext | UpstreamTls;

export interface UpstreamPlaintext {
  readonly kind: "plaintext";
  /** The header that goes ahead of the connection's bytes, and of its TLS. */
  readonly proxyProtocol?: UpstreamProxyProtocol;
}

/** Client side TLS as configured; keys and trusted roots are looked up by secret name when a connection is made. */
export interface UpstreamTls {
  readonly kind: "tls";
  readonly proxyProtocol?: UpstreamProxyProtocol;
  readonly sni: string;
  readonly alpn: readonly string[];
  readonly certificate: SecretSource | undefined;
  readonly trust: SecretSource | undefined;
  /** Accepted subject alternative names; empty accepts any that the roots signed. */
  readonly sans: readonly SanMatcher[];
  readonly pins?: CertificatePins | undefined;
  /** Lists of what authorities have revoked, as PEM that is found as roots are. */
  readonly revoked?: SecretSource | undefined;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion: "TLSv1.2" | "TLSv1.3";
  readonly ciphers: readonly string[];
  readonly curves?: readonly string[];
  readonly signatures?: readonly string[];
}

/**
 * Where key material comes from: given in place (PEM), or a named secret that SDS or the CA client fills. Files are
 * named too: `file:CHAIN,KEY` for a certificate, `file:ROOTS` for roots; `system` is the system's roots.
 */
export type SecretSource =
  | { readonly kind: "inline"; readonly certificatePem?: string; readonly keyPem?: string; readonly rootsPem?: string }
  | { readonly kind: "named"; readonly name: string };

export interface SanMatcher {
  /** The kind of name it is for: a DNS name that reads like a SPIFFE ID is no SPIFFE ID. */
  readonly of: "uri" | "dns" | "email" | "address" | "any";
  readonly kind: "exact" | "prefix" | "suffix" | "contains" | "regex";
  readonly value: string;
  readonly test: (san: string) => boolean;
}

/** Envoy's per-cluster counters, by their Envoy names in camel case; `/stats` prints them as `cluster.NAME.x`. */
export interface ClusterCounters {
  upstreamCxTotal: number;
  upstreamCxActive: number;
  upstreamCxConnectFail: number;
  upstreamCxConnectTimeout: number;
  upstreamCxConnectAttemptsExceeded: number;
  upstreamCxOverflow: number;
  upstreamCxHttp1Total: number;
  upstreamCxHttp2Total: number;
  upstreamCxIdleTimeout: number;
  upstreamCxMaxRequests: number;
  upstreamCxMaxDurationReached: number;
  upstreamCxPeerIdleRetired: number;
  upstreamCxLeaseLost: number;
  upstreamCxLeaseQuiet: number;
  upstreamCxDestroy: number;
  upstreamCxRxBytesTotal: number;
  upstreamRqTotal: number;
  upstreamRqActive: number;
  upstreamRqPendingTotal: number;
  upstreamRqPendingOverflow: number;
  upstreamRqPendingActive: number;
  upstreamRqCancelled: number;
  upstreamRqTimeout: number;
  upstreamRqPerTryTimeout: number;
  upstreamRqRxReset: number;
  upstreamRqTxReset: number;
  upstreamRqRetry: number;
  upstreamRqRetrySuccess: number;
  upstreamRqRetryOverflow: number;
  upstreamRqRetryLimitExceeded: number;
  upstreamRq2xx: number;
  upstreamRq3xx: number;
  upstreamRq4xx: number;
  upstreamRq5xx: number;
  membershipTotal: number;
  membershipHealthy: number;
  outlierDetectionEjectionsActive: number;
  outlierDetectionEjectionsTotal: number;
  lbHealthyPanic: number;
  upstreamCxTxBytesTotal: number;
  upstreamCxNoneHealthy: number;
  upstreamRqMaxDurationReached: number;
  upstreamRqCompleted: number;
  /** Answers by code, for the codes that are usual; classes count all of them. */
  upstreamRq200: number;
  upstreamRq201: number;
  upstreamRq202: number;
  upstreamRq204: number;
  upstreamRq206: number;
  upstreamRq301: number;
  upstreamRq302: number;
  upstreamRq304: number;
  upstreamRq307: number;
  upstreamRq308: number;
  upstreamRq400: number;
  upstreamRq401: number;
  upstreamRq403: number;
  upstreamRq404: number;
  upstreamRq405: number;
  upstreamRq409: number;
  upstreamRq413: number;
  upstreamRq429: number;
  upstreamRq499: number;
  upstreamRq500: number;
  upstreamRq501: number;
  upstreamRq502: number;
  upstreamRq503: number;
  upstreamRq504: number;
  /** Answers that were not given to the client but tried again. */
  retryUpstreamRqCompleted: number;
  retryUpstreamRq4xx: number;
  retryUpstreamRq5xx: number;
  retryUpstreamRq503: number;
  membershipChange: number;
  membershipDegraded: number;
  membershipExcluded: number;
  sslHandshake: number;
  sslConnectionError: number;
  /** Questions for the cluster's names. */
  updateAttempt: number;
  updateSuccess: number;
  updateFailure: number;
  updateEmpty: number;
  updateNoRebuild: number;
  /** A request to an ORIGINAL_DST cluster named what is no address. */
  originalDstHostInvalid: number;
  /** What balancing by subset and zone did. */
  lbSubsetsActive: number;
  lbSubsetsCreated: number;
  lbSubsetsRemoved: number;
  lbSubsetsSelected: number;
  lbSubsetsFallback: number;
  lbSubsetsFallbackPanic: number;
  lbRecalculateZoneStructures: number;
  lbLocalClusterNotOk: number;
  lbZoneClusterTooSmall: number;
  lbZoneNoCapacityLeft: number;
  lbZoneRoutingAllDirectly: number;
  lbZoneRoutingSampled: number;
  lbZoneRoutingCrossZone: number;
  upstreamRqDropOverload: number;
  assignmentStale: number;
  healthCheckAttempt: number;
  healthCheckSuccess: number;
  healthCheckFailure: number;
  healthCheckPassiveFailure: number;
  healthCheckNetworkFailure: number;
  healthCheckVerifyCluster: number;
  healthCheckHealthy: number;
  healthCheckDegraded: number;
  outlierDetectionEjectionsEnforcedTotal: number;
  outlierDetectionEjectionsOverflow: number;
  outlierDetectionEjectionsDetectedConsecutive5xx: number;
  outlierDetectionEjectionsEnforcedConsecutive5xx: number;
  outlierDetectionEjectionsDetectedConsecutiveGatewayFailure: number;
  outlierDetectionEjectionsEnforcedConsecutiveGatewayFailure: number;
  outlierDetectionEjectionsDetectedConsecutiveLocalOriginFailure: number;
  outlierDetectionEjectionsEnforcedConsecutiveLocalOriginFailure: number;
  outlierDetectionEjectionsDetectedSuccessRate: number;
  outlierDetectionEjectionsEnforcedSuccessRate: number;
  outlierDetectionEjectionsDetectedLocalOriginSuccessRate: number;
  outlierDetectionEjectionsEnforcedLocalOriginSuccessRate: number;
  outlierDetectionEjectionsDetectedFailurePercentage: number;
  outlierDetectionEjectionsEnforcedFailurePercentage: number;
  outlierDetectionEjectionsDetectedLocalOriginFailurePercentage: number;
  outlierDetectionEjectionsEnforcedLocalOriginFailurePercentage: number;
}

import type { Clock, Logger, Random } from "@weft/core/world";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { NoHost, OnDynamicHost } from "../dns/dynamic-hosts.ts";
import type { HttpFilter } from "../filters/http/filter.ts";
import type { IpRange } from "../listeners/ip-range.ts";
import type { Overload } from "../overload/overload.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import type { NormalizeOptions } from "../routing/normalize-path.ts";
import type { RouteTable } from "../routing/route.ts";
import type { TimerWheel } from "../timers/timer-wheel.ts";
import type { Exchange } from "./exchange.ts";
import type { ExchangePool } from "./exchange-pool.ts";
import type { HcmCounters } from "./hcm-counters.ts";
import type { Http2ServerSettings } from "./http2-options.ts";
import type { Http2ServerStreams } from "./http2-server-stream.ts";
import type { Leaving } from "./leaving.ts";
import type { RewriteReply } from "./local-replies.ts";
import type { RetryChain } from "./retry-chain.ts";

/** The routes of now: read once per request. RDS writes it, or the listener's own table stands in it for good. */
export interface RouteSource {
  table: RouteTable | undefined;
}

/** What requests need of the data plane; one per thread. */
export interface HttpTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly uuid: () => string;
  readonly wheel: TimerWheel;
  readonly pools: PoolTools;
  /** The cluster of now by that name. */
  readonly cluster: (name: string) => Cluster | undefined;
  /** The host of an ORIGINAL_DST cluster for that address. */
  readonly originalHost: (cluster: Cluster, address: string) => Host | undefined;
  /** The host of a cluster of such hosts for that name, or why there is none; `undefined`: `onFound` will be told. */
  readonly dynamicHost: (cluster: Cluster, name: string, onFound: OnDynamicHost) => Host | NoHost | undefined;
  readonly exchanges: ExchangePool;
  /** Which requests of the workload's application are retries already, or failed further on. */
  readonly retryChain: RetryChain;
  readonly http2Streams: Http2ServerStreams;
  /** What is refused for want of memory or time. */
  readonly overload: Overload;
  /** `Date` header value of this second. */
  readonly date: () => string;
  readonly log?: Logger;
}

export interface RequestLog {
  log(exchange: Exchange): void;
}

export type XfccMode = "sanitize" | "forwardOnly" | "appendForward" | "sanitizeSet" | "alwaysForwardOnly";

/**
 * What the connections of one filter chain read their settings from, request by request: a change of the listener puts
 * new settings here, and a request keeps those it began with.
 */
export interface HcmSlot {
  current: HcmSettings;
}

export interface XfccSettings {
  readonly mode: XfccMode;
  readonly subject: boolean;
  readonly cert: boolean;
  readonly dns: boolean;
  readonly uri: boolean;
}

/** A compiled HttpConnectionManager; immutable, but for the routes it reads per request. */
export interface HcmSettings {
  readonly tools: HttpTools;
  /** Whether clients are told to leave. */
  readonly leaving: Leaving;
  readonly codec: "auto" | "http1" | "http2";
  readonly routes: RouteSource;
  /** Those of the chain that act at each point; responses in reverse order. */
  readonly requestFilters: readonly HttpFilter[];
  readonly responseFilters: readonly HttpFilter[];
  readonly endFilters: readonly HttpFilter[];
  /** Some of them act only where a route has settings for them. */
  readonly filtersVary: boolean;
  readonly accessLogs: readonly RequestLog[];
  readonly counters: HcmCounters;
  readonly suppressEnvoyHeaders: boolean;
  /** Rewrites the proxy's own answers; absent where they stay as they are. */
  readonly rewriteReply: RewriteReply | undefined;
  readonly serverName: string;
  readonly serverHeader: "OVERWRITE" | "APPEND_IF_ABSENT" | "PASS_THROUGH";
  readonly generateRequestId: boolean;
  readonly preserveRequestId: boolean;
  readonly requestIdInResponse: boolean;
  readonly xfcc: XfccSettings;
  readonly useRemoteAddress: boolean;
  readonly trustedHops: number;
  /** Clients at these addresses are inside; none unless configured. */
  readonly internalRanges: readonly IpRange[];
  readonly skipXffAppend: boolean;
  readonly via: string;
  readonly normalize: NormalizeOptions | undefined;
  readonly stripPort: "none" | "matching" | "any";
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly connectionIdleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
  readonly maxStreamDurationMs: number;
  readonly delayedCloseTimeoutMs: number;
  readonly headersMax: number;
  readonly headBytesMax: number;
  readonly underscoreNames: "accept" | "refuse" | "drop";
  readonly http2: Http2ServerSettings;
  readonly acceptHttp10: boolean;
  /** Lower case; CONNECT is `connect`. */
  readonly upgrades: ReadonlySet<string>;
}

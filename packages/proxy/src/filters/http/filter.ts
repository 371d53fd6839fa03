import type { Clock, Random, SetTimer } from "@weft/core/world";
import type { Locality } from "../../clusters/host.ts";
import type { CompileTools } from "../../compile/tools.ts";
import type { Exchange, LocalReply } from "../../http/exchange.ts";
import type { RetryChain } from "../../http/retry-chain.ts";
import type { Stats } from "../../observe/stats.ts";

/** The filter will call `exchange.resume()` later. */
export const wait: unique symbol = Symbol("wait");
export type Wait = typeof wait;

/**
 * Per filter chain; its methods run per request and must not allocate on the pass path.
 * Head-level hooks only: bodies flow past filters, from socket to socket.
 */
export interface HttpFilter {
  /**
   * `undefined` passes on, a reply answers, `wait` holds the request until `exchange.resume()`. Runs before routing is
   * final: a filter may change the head.
   */
  readonly onRequest?: (exchange: Exchange) => undefined | LocalReply | Wait;
  /** The final response head, upstream's or local, just before it goes downstream. In reverse order of the chain. */
  readonly onResponse?: (exchange: Exchange) => void;
  /** The exchange is over, also when the client went away: counters and logs. */
  readonly onEnd?: (exchange: Exchange) => void;
  /** Its name in the chain, by which routes switch it off or on. */
  readonly name?: string;
  /** It acts only where a route has settings for it. */
  readonly offByDefault?: boolean;
}

export interface FilterTools {
  readonly random: Random;
  readonly setTimer: SetTimer;
  /** Adds to a counter of `/stats`, named in full; looked up at configuration time. */
  readonly counter: (name: string) => { add(n: number): void };
  readonly clock: Clock;
  readonly stats: Stats;
  readonly node: ProxyNode;
  /** Makes buckets that all threads take from; each thread its own when absent. */
  readonly buckets?: CompileTools["buckets"];
  readonly onDemand?: CompileTools["onDemand"];
  readonly retryChain?: RetryChain;
  /** There is a cluster of that name now. */
  readonly isCluster?: (name: string) => boolean;
  /** What stands before the filter's own counters: `http.inbound_0.0.0.0_8080`. */
  readonly statPrefix: string;
  /** The filter's name in its chain, which routes' settings for it are filed under; its kind's name when absent. */
  readonly name?: string | undefined;
}

/** This proxy as its bootstrap names it. */
export interface ProxyNode {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly locality?: Locality;
  /** The cluster that it is itself of, where it knows that. */
  readonly localCluster?: string;
}

export interface HttpFilterKind {
  /** Envoy's well-known name: `envoy.filters.http.fault`. */
  readonly name: string;
  /** The typed_config message: `envoy.extensions.filters.http.fault.v3.HTTPFault`. */
  readonly typeName: string;
  /** Validates. Throws ConfigError, which becomes a NACK. */
  readonly configure: (raw: Readonly<Record<string, unknown>>) => (tools: FilterTools) => HttpFilter;
  /** Other names and messages that mean this filter. */
  readonly aliases?: readonly string[];
  /** Validates and compiles an entry of a route's `typed_per_filter_config`. Without it none is taken. */
  readonly configureRoute?: (raw: Readonly<Record<string, unknown>>, tools: CompileTools) => unknown;
  /** What its settings of a wider level and of a narrower one come to; the narrower ones alone when absent. */
  readonly combineRoute?: (wider: unknown, narrower: unknown) => unknown;
}

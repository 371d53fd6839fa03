import type { Random } from "@weft/core/world";
import type { Host } from "../clusters/host.ts";

/** What a balancer may know of a request. */
export interface PickRequest {
  /** From the route's hash policy; `undefined` when there is none or it gave nothing. */
  readonly hash: bigint | undefined;
  /** How often this request asked already and did not want the host: hashing balancers go on to others. */
  readonly attempt?: number | undefined;
  /** What the route asks of a host's metadata, where the cluster has subsets. */
  readonly metadataMatch?: MetadataMatch | undefined;
}

/** Members of `envoy.lb` metadata in the order of their names, values as canonical JSON. */
export interface MetadataMatch {
  readonly criteria: readonly (readonly [name: string, value: string])[];
  /** Criteria to try in turn in place of those above that have the same names: `fallback_list`. */
  readonly fallbacks: readonly MetadataMatch[] | undefined;
}

/** Runs per request: synchronous, no allocation. `undefined` when there is no host to give. */
export type PickHost = (request: PickRequest) => Host | undefined;

export interface BalancerTools {
  readonly random: Random;
  /** The monotonic clock, for balancers that mind how long a host has been there. */
  readonly nowMs?: (() => number) | undefined;
  /** Requests that the whole cluster serves now. */
  readonly active?: (() => number) | undefined;
  /** Each host's part of all requests, together at most 1, where localities weigh; else it follows from its weight. */
  readonly shares?: readonly number[] | undefined;
}

/** Runs per change of the eligible hosts; the result replaces the last one whole. */
export type BuildBalancer = (hosts: readonly Host[], tools: BalancerTools) => PickHost;

export type ObserveLatency = (host: Host, tookMs: number, nowMs: number) => void;

/** A balancer is three nested functions: configured once, built per set of hosts, called per request. */
export interface BalancerKind {
  /** The `lb_policy` enum name of Envoy's Cluster: `ROUND_ROBIN`; one of our own where Envoy's enum has none. */
  readonly policy: string;
  /** The message name under `load_balancing_policy` that means the same. */
  readonly typeName: string;
  /** Other messages that mean this balancer. */
  readonly aliases?: readonly string[];
  /** Validates the policy's own JSON (`leastRequestLbConfig` …). Throws ConfigError, which becomes a NACK. */
  readonly configure: (raw: Readonly<Record<string, unknown>>) => BuildBalancer;
  /** Chooses by the request's hash, so priority and locality follow the hash too. */
  readonly byHash?: boolean;
  /** What to do with how long a host took to answer, where the balancer minds that. */
  readonly observe?: (raw: Readonly<Record<string, unknown>>) => ObserveLatency;
}

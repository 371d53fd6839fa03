import type { Random } from "@weft/core/world";
import type { Host } from "../clusters/host.ts";

/** What a balancer may know of a request. */
export interface PickRequest {
  /** From the route's hash policy; `undefined` when there is none or it gave nothing. */
  readonly hash: bigint | undefined;
}

/** Runs per request: synchronous, no allocation. `undefined` when there is no host to give. */
export type PickHost = (request: PickRequest) => Host | undefined;

/** Runs per change of the eligible hosts; the result replaces the last one whole. */
export type BuildBalancer = (hosts: readonly Host[], tools: { readonly random: Random }) => PickHost;

/** A balancer is three nested functions: configured once, built per set of hosts, called per request. */
export interface BalancerKind {
  /** The `lb_policy` enum name of Envoy's Cluster: `ROUND_ROBIN`. */
  readonly policy: string;
  /** The message name under `load_balancing_policy` that means the same. */
  readonly typeName: string;
  /** Validates the policy's own JSON (`leastRequestLbConfig` …). Throws ConfigError, which becomes a NACK. */
  readonly configure: (raw: Readonly<Record<string, unknown>>) => BuildBalancer;
}

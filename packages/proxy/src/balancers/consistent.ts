/** What ring hash and Maglev share. */

import { ConfigError } from "@weft/core/config-error";
import type { Random } from "@weft/core/world";
import type { ConsistentHashingLbConfigJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/common/v3/common";
import type { Host } from "../clusters/host.ts";
import { member, refuseOthers, unsigned } from "../compile/fields.ts";
import type { BalancerTools } from "./balancer.ts";

export interface ConsistentSettings {
  readonly useHostname: boolean;
  /** Percent of its fair load up to which a host is given requests; 0 is no bound. */
  readonly balanceFactor: number;
}

/** A request without a hash goes to a random host. */
export const randomHash = (random: Random): bigint =>
  (BigInt(Math.floor(random() * 0x1_0000_0000)) << 32n) | BigInt(Math.floor(random() * 0x1_0000_0000));

/** What a host is hashed by: `hash_key` of its `envoy.lb` metadata, by which it keeps its place, else what it is called. */
export const hashKey = ({ metadata, address, hostname }: Host, { useHostname }: ConsistentSettings): string => {
  const key = metadata["envoy.lb"]?.hash_key;
  if (typeof key === "string" && key !== "") return key;
  return useHostname && hostname !== "" ? hostname : address;
};

/** Each host's part of the requests. */
export const sharesOf = (hosts: readonly Host[], { shares }: BalancerTools): readonly number[] => {
  if (shares) return shares;
  const total = hosts.reduce((sum, { weight }) => sum + weight, 0);
  return hosts.map(({ weight }) => weight / total);
};

/** `fallback` holds where the message has no settings of its own. */
export const compileConsistent = (
  json: ConsistentHashingLbConfigJson | undefined,
  at: string,
  fallback: ConsistentSettings = { useHostname: false, balanceFactor: 0 },
): ConsistentSettings => {
  if (!json) return fallback;
  refuseOthers(json, "ConsistentHashingLbConfig", at, ["useHostnameForHashing", "hashBalanceFactor"]);
  const factor = unsigned(json.hashBalanceFactor, member(at, "hashBalanceFactor")) ?? 0;
  if (factor > 0 && factor < 100) throw new ConfigError(member(at, "hashBalanceFactor"), "must be at least 100");
  return { useHostname: json.useHostnameForHashing === true, balanceFactor: factor };
};

/** What ring hash and Maglev share. */
import type { Random } from "@weft/core/world";
import type { ConsistentHashingLbConfigJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/common/v3/common";
import type { Host } from "../clusters/host.ts";
import { refuseOthers } from "../compile/fields.ts";

/** A request without a hash goes to a random host. */
export const randomHash = (random: Random): bigint =>
  (BigInt(Math.floor(random() * 0x1_0000_0000)) << 32n) | BigInt(Math.floor(random() * 0x1_0000_0000));

/** What a host is hashed by: `hash_key` of its `envoy.lb` metadata, by which it keeps its place, else its address. */
export const hashKey = ({ metadata, address }: Host): string => {
  const key = metadata["envoy.lb"]?.hash_key;
  return typeof key === "string" && key !== "" ? key : address;
};

/** Hashing by host name and bounded loads are refused: hosts are hashed by address. */
export const refuseConsistentExtras = (json: ConsistentHashingLbConfigJson | undefined, at: string): void => {
  if (json) refuseOthers(json, "ConsistentHashingLbConfig", at, []);
};

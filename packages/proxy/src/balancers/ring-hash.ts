import { ConfigError } from "@weft/core/config-error";
import type { Random } from "@weft/core/world";
import type { RingHashJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash";
import type { Host } from "../clusters/host.ts";
import { oneOf, refuseOthers, unsigned } from "../compile/fields.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import type { BalancerKind } from "./balancer.ts";
import { hashKey, randomHash, refuseConsistentExtras } from "./consistent.ts";

/** Envoy's own bound on a ring. */
const ringEntriesMax = 8_388_608;

interface Ring {
  /** In ascending order. */
  readonly hashes: BigUint64Array;
  readonly hosts: readonly Host[];
}

interface RingSize {
  readonly least: number;
  readonly most: number;
}

/**
 * Each host gets entries in proportion to its weight, at the hashes of `ADDRESS_0`, `ADDRESS_1` and so on. The scale
 * is the least that gives the lightest host whole entries, within the ring's bounds.
 */
const buildRing = (hosts: readonly Host[], { least, most }: RingSize): Ring => {
  const total = hosts.reduce((sum, { weight }) => sum + weight, 0);
  const lightest = hosts.reduce((low, { weight }) => Math.min(low, weight / total), 1);
  const scale = Math.min(Math.ceil(lightest * least) / lightest, most);
  const entries: { readonly hash: bigint; readonly host: Host }[] = [];
  let current = 0;
  let target = 0;
  for (const host of hosts) {
    target += scale * (host.weight / total);
    const key = hashKey(host);
    for (let i = 0; current < target; i++, current++) entries.push({ hash: xxHash64(`${key}_${i}`), host });
  }
  entries.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
  return { hashes: BigUint64Array.from(entries, ({ hash }) => hash), hosts: entries.map(({ host }) => host) };
};

/** The first entry at or after the hash, else the ring's first. */
const lookUp = ({ hashes, hosts }: Ring, hash: bigint): Host | undefined => {
  let low = 0;
  let high = hashes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((hashes[middle] as bigint) < hash) low = middle + 1;
    else high = middle;
  }
  return hosts[low === hashes.length ? 0 : low];
};

/** A request keeps its host while that host is there; a host that comes or goes moves only its share. */
export const ringHash: BalancerKind = {
  policy: "RING_HASH",
  typeName: "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",

  configure(raw) {
    const json = raw as RingHashJson;
    refuseOthers(json, "RingHash", "", [
      "hashFunction",
      "minimumRingSize",
      "maximumRingSize",
      "consistentHashingLbConfig",
      "localityWeightedLbConfig",
    ]);
    refuseConsistentExtras(json.consistentHashingLbConfig, "consistentHashingLbConfig");
    oneOf(json.hashFunction, ["DEFAULT_HASH", "XX_HASH"], "XX_HASH", "hashFunction");
    const least = unsigned(json.minimumRingSize, "minimumRingSize") ?? 1024;
    const most = unsigned(json.maximumRingSize, "maximumRingSize") ?? ringEntriesMax;
    if (most > ringEntriesMax) throw new ConfigError("maximumRingSize", `must not exceed ${ringEntriesMax}`);
    if (least > most) throw new ConfigError("minimumRingSize", "must not exceed maximumRingSize");
    return (hosts: readonly Host[], { random }: { random: Random }) => {
      const ring = buildRing(hosts, { least, most });
      return ({ hash }) => lookUp(ring, hash ?? randomHash(random));
    };
  },
};

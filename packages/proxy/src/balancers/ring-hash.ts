import { ConfigError } from "@weft/core/config-error";
import type { RingHashJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash";
import type { Host } from "../clusters/host.ts";
import { oneOf, refuseOthers, unsigned } from "../compile/fields.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import type { BalancerKind } from "./balancer.ts";
import { boundLoad } from "./bounded-load.ts";
import { type ConsistentSettings, compileConsistent, hashKey, randomHash, sharesOf } from "./consistent.ts";
import { murmurHash2 } from "./murmur-hash.ts";

/** Envoy's own bound on a ring. */
const ringEntriesMax = 8_388_608;

interface Ring {
  /** In ascending order. */
  readonly hashes: BigUint64Array;
  readonly hosts: readonly Host[];
}

interface RingSettings extends ConsistentSettings {
  readonly least: number;
  readonly most: number;
  readonly hashOf: (key: string) => bigint;
}

/**
 * Each host gets entries in proportion to its share, at the hashes of `KEY_0`, `KEY_1` and so on. The scale is the
 * least that gives the lightest host whole entries, within the ring's bounds.
 */
const buildRing = (hosts: readonly Host[], shares: readonly number[], settings: RingSettings): Ring => {
  const { least, most, hashOf } = settings;
  const lightest = shares.reduce((low, share) => Math.min(low, share), 1);
  const scale = Math.min(Math.ceil(lightest * least) / lightest, most);
  const entries: { readonly hash: bigint; readonly host: Host }[] = [];
  let current = 0;
  let target = 0;
  for (const [index, host] of hosts.entries()) {
    target += scale * (shares[index] ?? 0);
    const key = hashKey(host, settings);
    for (let i = 0; current < target; i++, current++) entries.push({ hash: hashOf(`${key}_${i}`), host });
  }
  entries.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
  return { hashes: BigUint64Array.from(entries, ({ hash }) => hash), hosts: entries.map(({ host }) => host) };
};

/** The first entry at or after the hash, else the ring's first; one further for each attempt before. */
const lookUp = ({ hashes, hosts }: Ring, hash: bigint, attempt: number): Host | undefined => {
  let low = 0;
  let high = hashes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((hashes[middle] as bigint) < hash) low = middle + 1;
    else high = middle;
  }
  return hosts[(low === hashes.length ? attempt : low + attempt) % hosts.length];
};

const compileRing = (json: RingHashJson): RingSettings => {
  refuseOthers(json, "RingHash", "", [
    "hashFunction",
    "minimumRingSize",
    "maximumRingSize",
    "useHostnameForHashing",
    "hashBalanceFactor",
    "consistentHashingLbConfig",
    "localityWeightedLbConfig",
  ]);
  const { useHostnameForHashing, hashBalanceFactor } = json;
  const own = compileConsistent(
    {
      ...(useHostnameForHashing ? { useHostnameForHashing } : {}),
      ...(hashBalanceFactor === undefined ? {} : { hashBalanceFactor }),
    },
    "",
  );
  const words = ["DEFAULT_HASH", "XX_HASH", "MURMUR_HASH_2"] as const;
  const murmur = oneOf(json.hashFunction, words, "XX_HASH", "hashFunction") === "MURMUR_HASH_2";
  const least = unsigned(json.minimumRingSize, "minimumRingSize") ?? 1024;
  const most = unsigned(json.maximumRingSize, "maximumRingSize") ?? ringEntriesMax;
  if (most > ringEntriesMax) throw new ConfigError("maximumRingSize", `must not exceed ${ringEntriesMax}`);
  if (least > most) throw new ConfigError("minimumRingSize", "must not exceed maximumRingSize");
  return {
    ...compileConsistent(json.consistentHashingLbConfig, "consistentHashingLbConfig", own),
    least,
    most,
    hashOf: murmur ? murmurHash2 : (key) => xxHash64(key),
  };
};

/** A request keeps its host while that host is there; a host that comes or goes moves only its share. */
export const ringHash: BalancerKind = {
  policy: "RING_HASH",
  typeName: "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
  byHash: true,

  configure(raw) {
    const settings = compileRing(raw as RingHashJson);
    return (hosts, tools) => {
      if (hosts.length === 0) return () => undefined;
      const { random, active } = tools;
      const shares = sharesOf(hosts, tools);
      const ring = buildRing(hosts, shares, settings);
      const { balanceFactor: factor } = settings;
      if (factor === 0 || !active) {
        return ({ hash, attempt = 0 }) => lookUp(ring, hash ?? randomHash(random), attempt);
      }
      const choose = boundLoad((hash, attempt) => lookUp(ring, hash, attempt), { hosts, shares, factor, active });
      return ({ hash, attempt = 0 }) => choose(hash ?? randomHash(random), attempt);
    };
  },
};

import { ConfigError } from "@weft/core/config-error";
import type { RingHashJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash";
import type { Host } from "../clusters/host.ts";
import { oneOf, refuseOthers, unsigned } from "../compile/fields.ts";
import type { BalancerKind } from "./balancer.ts";
import { boundLoad } from "./bounded-load.ts";
import { type ConsistentSettings, compileConsistent, hashKey, randomHash, sharesOf } from "./consistent.ts";
import { hashEntries, type RingHashKind, type RingKeys, sortEntries } from "./ring-keys.ts";

/** Envoy's own bound on a ring. */
const ringEntriesMax = 8_388_608;

/** In ascending order of their hashes; each entry's host by number. */
interface Ring extends RingKeys {
  readonly hosts: readonly Host[];
  readonly owners: Uint32Array;
}

interface RingSettings extends ConsistentSettings {
  readonly least: number;
  readonly most: number;
  readonly hash: RingHashKind;
}

/**
 * Each host gets entries in proportion to its share, at the hashes of `KEY_0`, `KEY_1` and so on. The scale is the
 * least that gives the lightest host whole entries, within the ring's bounds.
 */
const buildRing = (hosts: readonly Host[], shares: readonly number[], settings: RingSettings): Ring => {
  const { least, most, hash } = settings;
  const lightest = shares.reduce((low, share) => Math.min(low, share), 1);
  const scale = Math.min(Math.ceil(lightest * least) / lightest, most);
  let target = 0;
  let size = 0;
  const ends = hosts.map((_, index) => {
    target += scale * (shares[index] ?? 0);
    size = Math.max(size, Math.ceil(target));
    return size;
  });
  const keys = { upper: new Uint32Array(size), lower: new Uint32Array(size) };
  const owners = new Uint32Array(size);
  for (const [index, host] of hosts.entries()) {
    const from = index === 0 ? 0 : (ends[index - 1] as number);
    const end = ends[index] as number;
    hashEntries(hash, hashKey(host, settings), end - from, { ...keys, from });
    owners.fill(index, from, end);
  }
  return { ...sortEntries(keys, owners), hosts };
};

/** The first entry at or after the hash, else the ring's first; one further for each attempt before. */
const lookUp = ({ upper, lower, owners, hosts }: Ring, hash: bigint, attempt: number): Host | undefined => {
  const hashUpper = Number(hash >> 32n);
  const hashLower = Number(hash & 0xffff_ffffn);
  const { length } = owners;
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const above = upper[middle] as number;
    if (above < hashUpper || (above === hashUpper && (lower[middle] as number) < hashLower)) low = middle + 1;
    else high = middle;
  }
  return hosts[owners[(low === length ? attempt : low + attempt) % length] as number];
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
    hash: murmur ? "murmur" : "xx",
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

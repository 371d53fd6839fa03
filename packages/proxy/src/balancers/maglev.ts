import { ConfigError } from "@weft/core/config-error";
import type { MaglevJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev";
import type { Host } from "../clusters/host.ts";
import { refuseOthers, unsigned } from "../compile/fields.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import type { BalancerKind } from "./balancer.ts";
import { hashKey, randomHash, refuseConsistentExtras } from "./consistent.ts";

const defaultTableSize = 65_537;
const tableSizeMax = 5_000_011;

const isPrime = (n: number): boolean => {
  if (n < 2) return false;
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
};

/**
 * The Maglev paper's population: hosts claim slots in turn along their own permutations. A lighter host sits out
 * rounds until its share is due.
 */
const buildTable = (hosts: readonly Host[], size: number): Uint32Array => {
  const table = new Uint32Array(size).fill(0xffff_ffff);
  const heaviest = hosts.reduce((most, { weight }) => Math.max(most, weight), 0);
  const wide = BigInt(size);
  const offsets = hosts.map((host) => Number(xxHash64(hashKey(host)) % wide));
  const skips = hosts.map((host) => Number(xxHash64(hashKey(host), 1n) % (wide - 1n)) + 1);
  const nexts = new Float64Array(hosts.length);
  const targets = new Float64Array(hosts.length);
  let filled = 0;
  for (let round = 1; filled < size; round++) {
    for (let i = 0; i < hosts.length && filled < size; i++) {
      const weight = hosts[i]?.weight ?? 0;
      if (round * weight < (targets[i] as number)) continue;
      targets[i] = (targets[i] as number) + heaviest;
      const offset = offsets[i] as number;
      const skip = skips[i] as number;
      let at = (offset + skip * (nexts[i] as number)) % size;
      while (table[at] !== 0xffff_ffff) {
        nexts[i] = (nexts[i] as number) + 1;
        at = (offset + skip * (nexts[i] as number)) % size;
      }
      table[at] = i;
      nexts[i] = (nexts[i] as number) + 1;
      filled++;
    }
  }
  return table;
};

/** Consistent hashing in one look-up; a host that goes disturbs few others. */
export const maglev: BalancerKind = {
  policy: "MAGLEV",
  typeName: "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",

  configure(raw) {
    const json = raw as MaglevJson;
    refuseOthers(json, "Maglev", "", ["tableSize", "consistentHashingLbConfig", "localityWeightedLbConfig"]);
    refuseConsistentExtras(json.consistentHashingLbConfig, "consistentHashingLbConfig");
    const size = unsigned(json.tableSize, "tableSize") ?? defaultTableSize;
    if (size > tableSizeMax || !isPrime(size)) {
      throw new ConfigError("tableSize", `must be a prime number of at most ${tableSizeMax}`);
    }
    const wide = BigInt(size);
    return (hosts, { random }) => {
      if (hosts.length === 0) return () => undefined;
      const table = buildTable(hosts, size);
      return ({ hash }) => hosts[table[Number((hash ?? randomHash(random)) % wide)] as number];
    };
  },
};

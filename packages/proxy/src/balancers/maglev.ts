import { ConfigError } from "@weft/core/config-error";
import type { MaglevJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev";
import type { Host } from "../clusters/host.ts";
import { refuseOthers, unsigned } from "../compile/fields.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import type { BalancerKind } from "./balancer.ts";
import { boundLoad } from "./bounded-load.ts";
import { type ConsistentSettings, compileConsistent, hashKey, randomHash, sharesOf } from "./consistent.ts";

const defaultTableSize = 65_537;
const tableSizeMax = 5_000_011;
const nobody = 0xffff_ffff;

const isPrime = (n: number): boolean => {
  if (n < 2) return false;
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
};

interface Entry {
  readonly host: Host;
  readonly key: string;
  readonly share: number;
}

/** In the order of the keys' bytes, so that the table does not depend on how endpoints were listed. */
const inOrder = (hosts: readonly Host[], shares: readonly number[], settings: ConsistentSettings): readonly Entry[] => {
  const entries = hosts.map((host, index) => {
    const key = hashKey(host, settings);
    return { host, key, share: shares[index] ?? 0, bytes: Buffer.from(key) };
  });
  return entries.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
};

/** The first round after `after` in which a host of that share is due. */
const nextRound = (after: number, share: number, target: number): number => {
  let round = Math.max(after + 1, Math.ceil(target / share) || 0);
  // Rounding may have put it beside: what counts is the product, as it would be found by going through all rounds.
  while (round * share < target) round++;
  while (round - 1 > after && (round - 1) * share >= target) round--;
  return round;
};

/** Who is due when, as `round * count + index`: a heap with the next on top. */
class Turns {
  private readonly keys: Float64Array;
  private readonly count: number;
  private length: number;

  /** All are due in the first round. */
  constructor(count: number) {
    this.keys = Float64Array.from({ length: count }, (_, index) => count + index);
    this.count = count;
    this.length = count;
  }
  get round(): number {
    return Math.floor((this.keys[0] as number) / this.count);
  }
  get index(): number {
    return (this.keys[0] as number) % this.count;
  }
  /** Whose turn it was is due again in that round, which is a later one. */
  later(round: number): void {
    this.sink(round * this.count + this.index);
  }
  /** Whose turn it was is not due again. */
  drop(): void {
    this.length--;
    this.sink(this.keys[this.length] as number);
  }
  private sink(key: number): void {
    const { keys, length } = this;
    let at = 0;
    for (let child = 1; child < length; child = at * 2 + 1) {
      if (child + 1 < length && (keys[child + 1] as number) < (keys[child] as number)) child++;
      if ((keys[child] as number) >= key) break;
      keys[at] = keys[child] as number;
      at = child;
    }
    keys[at] = key;
  }
}

/**
 * The Maglev paper's population: hosts claim slots in turn along their own permutations. A lighter host sits out
 * rounds until its share is due; with one that is far heavier than the others these are nearly all rounds, so nobody is
 * asked before his.
 */
const buildTable = (entries: readonly Entry[], size: number): Uint32Array => {
  const table = new Uint32Array(size).fill(nobody);
  const heaviest = entries.reduce((most, { share }) => Math.max(most, share), 0);
  const wide = BigInt(size);
  const offsets = entries.map(({ key }) => Number(xxHash64(key) % wide));
  const skips = entries.map(({ key }) => Number(xxHash64(key, 1n) % (wide - 1n)) + 1);
  const nexts = new Float64Array(entries.length);
  const targets = new Float64Array(entries.length);
  const turns = new Turns(entries.length);
  for (let filled = 0; filled < size; filled++) {
    const i = turns.index;
    const offset = offsets[i] as number;
    const skip = skips[i] as number;
    let at = (offset + skip * (nexts[i] as number)) % size;
    while (table[at] !== nobody) {
      nexts[i] = (nexts[i] as number) + 1;
      at = (offset + skip * (nexts[i] as number)) % size;
    }
    table[at] = i;
    nexts[i] = (nexts[i] as number) + 1;
    const target = (targets[i] as number) + heaviest;
    targets[i] = target;
    const round = nextRound(turns.round, entries[i]?.share ?? 0, target);
    // The heaviest host claims a slot in every round, so there are no more rounds than slots.
    if (round > size) turns.drop();
    else turns.later(round);
  }
  return table;
};

const allOnes = (1n << 64n) - 1n;

/** A request that asks again goes by a hash of its own. */
const again = (hash: bigint, attempt: number): bigint =>
  attempt === 0 ? hash : hash ^ (allOnes - BigInt(attempt) + 1n);

/** Consistent hashing in one look-up; a host that goes disturbs few others. */
export const maglev: BalancerKind = {
  policy: "MAGLEV",
  typeName: "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
  byHash: true,

  configure(raw) {
    const json = raw as MaglevJson;
    refuseOthers(json, "Maglev", "", ["tableSize", "consistentHashingLbConfig", "localityWeightedLbConfig"]);
    const settings = compileConsistent(json.consistentHashingLbConfig, "consistentHashingLbConfig");
    const size = unsigned(json.tableSize, "tableSize") ?? defaultTableSize;
    if (size > tableSizeMax || !isPrime(size)) {
      throw new ConfigError("tableSize", `must be a prime number of at most ${tableSizeMax}`);
    }
    const wide = BigInt(size);
    return (hosts, tools) => {
      if (hosts.length === 0) return () => undefined;
      const { random, active } = tools;
      const shares = sharesOf(hosts, tools);
      const entries = inOrder(hosts, shares, settings);
      const table = buildTable(entries, size);
      const sorted = entries.map(({ host }) => host);
      const lookUp = (hash: bigint, attempt: number): Host | undefined =>
        sorted[table[Number(again(hash, attempt) % wide)] as number];
      const { balanceFactor: factor } = settings;
      if (factor === 0 || !active) return ({ hash, attempt = 0 }) => lookUp(hash ?? randomHash(random), attempt);
      const choose = boundLoad(lookUp, { hosts, shares, factor, active });
      return ({ hash, attempt = 0 }) => choose(hash ?? randomHash(random), attempt);
    };
  },
};

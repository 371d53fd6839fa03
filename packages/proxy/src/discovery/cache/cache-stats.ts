/** What the discovery cache counts, for each of its levels. */
import type { Counter, Stats } from "../../observe/stats.ts";

export const cacheLevels = ["l1", "l2", "l3"] as const;
export type CacheLevel = (typeof cacheLevels)[number];

export interface LevelCounters {
  /** Looked for there, and found. */
  readonly hits: Counter;
  readonly misses: Counter;
  /** Found to be current, or brought up to date, before its time was over. */
  readonly refreshed: Counter;
  /** Damaged or refused: it was not used. */
  readonly corrupted: Counter;
  /** Put out because it was not used, or to make room. */
  readonly evicted: Counter;
  /** Put in from a lower level. */
  readonly filled: Counter;
  /** Not kept because there was no room. */
  readonly overflow: Counter;
  /** Of the disk, or of the way to the control plane. */
  readonly errors: Counter;
}

export type CacheCounters = { readonly [L in CacheLevel]: LevelCounters };

const counted = ["hits", "misses", "refreshed", "corrupted", "evicted", "filled", "overflow", "errors"] as const;

type Counted = Pick<Stats, "counter"> & Partial<Pick<Stats, "labelledCounter">>;

/** Each is `discovery_cache.LEVEL.WHAT` for `/stats`, and `weft_discovery_cache_WHAT_total{level}` for Prometheus. */
const levelCounters = (stats: Counted, level: CacheLevel): LevelCounters => {
  const made = counted.map((what): readonly [string, Counter] => {
    const plain = stats.counter(`discovery_cache.${level}.${what}`);
    const labelled = stats.labelledCounter?.(`weft_discovery_cache_${what}_total`, [["level", level]]);
    const add = (n: number): void => {
      plain.add(n);
      labelled?.add(n);
    };
    return [
      what,
      {
        add,
        get value() {
          return plain.value;
        },
      },
    ];
  });
  return Object.fromEntries(made) as unknown as LevelCounters;
};

export const cacheCounters = (stats: Counted): CacheCounters => ({
  l1: levelCounters(stats, "l1"),
  l2: levelCounters(stats, "l2"),
  l3: levelCounters(stats, "l3"),
});

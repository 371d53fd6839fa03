/** What the discovery cache counts, for each of its levels. */
import type { Counter, Stats } from "../../observe/stats.ts";

interface Counts {
  /** Looked for there, and found. */
  readonly hits: Counter;
  readonly misses: Counter;
  /** Found to be current, or brought up to date, before its time was over. */
  readonly refreshed: Counter;
  /** Damaged on disk, or refused by this sidecar wherever it came from: it was not used. */
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

/** What can happen at a level; memory is checked before it is filled, so nothing is found damaged there. */
const counted = {
  l1: ["hits", "misses", "filled", "refreshed", "evicted", "overflow"],
  l2: ["hits", "misses", "evicted", "corrupted", "overflow", "errors"],
  l3: ["hits", "misses", "refreshed", "corrupted", "errors"],
} as const;

export type CacheLevel = keyof typeof counted;
export type LevelCounters<L extends CacheLevel> = Pick<Counts, (typeof counted)[L][number]>;
export type CacheCounters = { readonly [L in CacheLevel]: LevelCounters<L> };

type Counted = Pick<Stats, "counter"> & Partial<Pick<Stats, "labelledCounter">>;

/** Each is `discovery_cache.LEVEL.WHAT` for `/stats`, and `weft_discovery_cache_WHAT_total{level}` for Prometheus. */
const levelCounters = <L extends CacheLevel>(stats: Counted, level: L): LevelCounters<L> => {
  const made = counted[level].map((what): readonly [string, Counter] => {
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
  return Object.fromEntries(made) as unknown as LevelCounters<L>;
};

export const cacheCounters = (stats: Counted): CacheCounters => ({
  l1: levelCounters(stats, "l1"),
  l2: levelCounters(stats, "l2"),
  l3: levelCounters(stats, "l3"),
});

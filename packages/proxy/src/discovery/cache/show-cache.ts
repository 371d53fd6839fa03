/** What the discovery cache has, for `/stats` and for `/discovery_cache` of the admin interface. */
import type { JsonValue } from "@bufbuild/protobuf";
import type { Counter, Stats } from "../../observe/stats.ts";
import type { CacheCounters, CacheLevel } from "./cache-stats.ts";
import type { CacheView } from "./discovery-cache.ts";

/** Entries that the admin interface lists of each level. */
const listedMax = 1_000;

/** Gauges read when printed. */
export const collectCache = (stats: Pick<Stats, "collect">, view: () => CacheView): Disposable =>
  stats.collect(function* () {
    const { memory, memoryBytes, disk } = view();
    yield ["discovery_cache.l1.entries", memory.length, "gauge"];
    yield ["discovery_cache.l1.bytes", memoryBytes, "gauge"];
    if (!disk) return;
    yield ["discovery_cache.l2.entries", disk.entries, "gauge"];
    yield ["discovery_cache.l2.bytes", disk.bytes, "gauge"];
    yield ["discovery_cache.l2.bytes_max", disk.bytesMax, "gauge"];
  });

const counts = (level: CacheCounters[CacheLevel]): { [name: string]: JsonValue } =>
  Object.fromEntries(Object.entries<Counter>({ ...level }).map(([name, { value }]) => [name, value]));

const seconds = (ms: number): number => Math.round(ms / 100) / 10;

export interface CacheFacts {
  readonly wallMs: number;
  /** All entries of the disk are listed too. */
  readonly entries: boolean;
}

export const cacheJson = (view: CacheView, { wallMs, entries }: CacheFacts): JsonValue => {
  const { memory, memoryBytes, disk, counters } = view;
  const onDisk = disk ? view.diskEntries() : [];
  const oldest = onDisk.reduce((least, { atMs }) => Math.min(least, atMs), wallMs);
  return {
    l1: {
      ...counts(counters.l1),
      entries: memory.length,
      bytes: memoryBytes,
      on_demand: memory.slice(0, listedMax).map(({ kind, name, source, bytes, ageMs, leftMs }) => ({
        ...{ kind, name, source, bytes, age_seconds: seconds(ageMs), left_seconds: seconds(leftMs) },
      })),
    },
    l2: disk
      ? {
          ...counts(counters.l2),
          entries: disk.entries,
          bytes: disk.bytes,
          bytes_max: disk.bytesMax,
          oldest_seconds: seconds(wallMs - oldest),
          ...(entries
            ? {
                kept: onDisk.slice(0, listedMax).map(({ kind, name, source, version, length, atMs, demanded }) => ({
                  ...{ kind, name, source, version, bytes: length, on_demand: demanded },
                  age_seconds: seconds(wallMs - atMs),
                })),
              }
            : {}),
        }
      : null,
    l3: counts(counters.l3),
  };
};

/** Token buckets in memory that all threads share: what one of them takes is gone for all. */
import { createHash } from "node:crypto";
import {
  type BucketMaker,
  LocalTokenBucket,
  resetSeconds,
  type TokenBucket,
  wholeTokens,
} from "../rate-limits/token-bucket.ts";
import { createTableMemory, openSharedTable, type SharedTable, type TableMemory } from "./shared-table.ts";

/** Buckets there is room for; further ones are each thread's own, which is logged. Only those in use count. */
export const sharedBucketsMax = 16_384;

/** The time it would have been empty at, as the bits of a double; 0 while nothing was ever taken. */
const emptyAtCells = 2;

/** For that many serving threads and the main one. */
export const createBucketsMemory = (workers: number, rows = sharedBucketsMax): TableMemory =>
  createTableMemory({ rows, lanes: workers + 1, sharedCells: emptyAtCells, laneCells: 0 });

/** Calls the function when nobody has the bucket any more. */
export type WatchBucket = (bucket: object, gone: () => void) => void;

const createWatch = (): WatchBucket => {
  const registry = new FinalizationRegistry<() => void>((gone) => gone());
  return (bucket, gone) => registry.register(bucket, gone);
};

export interface BucketTools {
  /** There is no room; called once. */
  readonly onFull: () => void;
  readonly watch?: WatchBucket;
}

export interface SharedBuckets {
  /**
   * Buckets for one resource. Threads that make the same ones in the same order from the same text share them; another
   * text has new ones.
   */
  of(name: string, text: () => string): BucketMaker;
  clearLane(lane: number): void;
}

export const openSharedBuckets = (
  memory: TableMemory,
  lane: number,
  { onFull, watch = createWatch() }: BucketTools,
): SharedBuckets => {
  const table = openSharedTable(memory, lane, { parts: [], passing: [] });
  const cells = new BigInt64Array(memory.shared);
  let full = false;
  const hold = (name: string): number | undefined => {
    const row = table.hold(name);
    if (row === undefined && !full) {
      full = true;
      onFull();
    }
    return row;
  };
  return {
    of: (name, text) => {
      let digest: string | undefined;
      let made = 0;
      return (max, perMs) => {
        digest ??= createHash("sha256").update(text()).digest("base64");
        const row = `${name}\0${digest}\0${made++}`;
        return new SharedTokenBucket(max, perMs, { row, table, cells, watch, hold });
      };
    },
    clearLane: (dead) => table.clearLane(dead),
  };
};

interface Place {
  readonly table: SharedTable;
  readonly cells: BigInt64Array;
  readonly watch: WatchBucket;
  readonly row: string;
  readonly hold: (row: string) => number | undefined;
}

const doubles = new Float64Array(1);
const bits = new BigInt64Array(doubles.buffer);

/** Takes its place in the table with its first request, so that what is only compiled or never met needs none. */
class SharedTokenBucket implements TokenBucket {
  readonly max: number;
  private readonly perMs: number;
  private readonly place: Place;
  private readonly cells: BigInt64Array;
  /** -1 before the first request. */
  private at = -1;
  /** In place of a row there was no room for. */
  private own: LocalTokenBucket | undefined = undefined;

  constructor(max: number, perMs: number, place: Place) {
    this.max = max;
    this.perMs = perMs;
    this.place = place;
    this.cells = place.cells;
  }
  take(nowMs: number): boolean {
    if (this.at < 0) this.settle();
    if (this.own) return this.own.take(nowMs);
    const { cells, at } = this;
    for (let seen = Atomics.load(cells, at); ; ) {
      const tokens = this.tokensAt(seen, nowMs);
      if (wholeTokens(tokens) < 1) return false;
      doubles[0] = nowMs - (tokens - 1) / this.perMs;
      // Zero is what a new row has: a bucket of which nothing was taken.
      if (doubles[0] === 0) doubles[0] = Number.MIN_VALUE;
      const found = Atomics.compareExchange(cells, at, seen, bits[0] as bigint);
      if (found === seen) return true;
      seen = found;
    }
  }
  remaining(nowMs: number): number {
    return wholeTokens(this.tokens(nowMs));
  }
  resetSeconds(nowMs: number): number {
    return resetSeconds(this.tokens(nowMs), this.perMs);
  }
  alike(key: string): TokenBucket {
    return new SharedTokenBucket(this.max, this.perMs, { ...this.place, row: `${this.place.row}\0${key}` });
  }
  private tokens(nowMs: number): number {
    if (this.at < 0) this.settle();
    return this.own ? this.own.tokens(nowMs) : this.tokensAt(Atomics.load(this.cells, this.at), nowMs);
  }
  private tokensAt(seen: bigint, nowMs: number): number {
    if (seen === 0n) return this.max;
    bits[0] = seen;
    return Math.min(this.max, (nowMs - (doubles[0] as number)) * this.perMs);
  }
  private settle(): void {
    const { table, watch, hold, row: name } = this.place;
    const row = hold(name);
    if (row === undefined) {
      this.at = 0;
      this.own = new LocalTokenBucket(this.max, this.perMs);
      return;
    }
    this.at = table.sharedAt(row) / 2;
    watch(this, () => table.letGo(row));
  }
}

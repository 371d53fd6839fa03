import type { Clock } from "@weft/core/world";
import type { Counter } from "../observe/stats.ts";
import { idleCloseLeast, idleCloseMost, idleCloseShare } from "./limits.ts";

/** A connection that may be doing nothing. */
export interface IdleConnection {
  /** Since when nothing is in flight on it; negative while something is, or when it is about to close. */
  readonly idleSinceMs: number;
  /** Called only while it is idle. */
  closeIdle(): void;
}

/** Connections of one sort. */
export interface IdleSource {
  /** Shows each that may be idle; none is closed before it returns. */
  readonly visit: (each: (connection: IdleConnection) => void) => void;
  readonly closed: Counter;
}

interface Found {
  readonly connection: IdleConnection;
  readonly closed: Counter;
}

const buckets = 32;

/** Idle times that differ by less than a factor of two are alike: none has to be sorted where memory is short. */
const bucketOf = (idleMs: number): number => Math.min(buckets - 1, 32 - Math.clz32(Math.max(0, idleMs)));

/** Closes some of the connections that are idle, those first that have been it for longest. */
export class IdleCloser {
  private readonly clock: Clock;
  private readonly sources: readonly IdleSource[];

  constructor(clock: Clock, sources: readonly IdleSource[]) {
    this.clock = clock;
    this.sources = sources;
  }

  /** One step: so many that the rest of the thread's work goes on beside it. `strength` is from 0 to 1. */
  close(strength: number): void {
    const now = this.clock.nowMs();
    const counts = new Uint32Array(buckets);
    let idle = 0;
    for (const { visit } of this.sources) {
      visit(({ idleSinceMs }) => {
        if (idleSinceMs < 0) return;
        idle++;
        const bucket = bucketOf(now - idleSinceMs);
        counts[bucket] = (counts[bucket] as number) + 1;
      });
    }
    if (idle === 0) return;
    const wanted = Math.min(idleCloseMost, Math.max(idleCloseLeast, Math.ceil(idle * idleCloseShare)));
    const most = Math.ceil(Math.min(wanted, idle) * strength);
    const [last, older] = lastBucket(counts, most);
    for (const { connection, closed } of this.choose({ now, last, ofLast: most - older })) {
      connection.closeIdle();
      closed.add(1);
    }
  }

  /** All of the buckets above `last`, and `ofLast` of that one. */
  private choose({ now, last, ofLast }: { readonly now: number; readonly last: number; readonly ofLast: number }) {
    const found: Found[] = [];
    let left = ofLast;
    for (const { visit, closed } of this.sources) {
      visit((connection) => {
        const { idleSinceMs } = connection;
        if (idleSinceMs < 0) return;
        const bucket = bucketOf(now - idleSinceMs);
        if (bucket > last || (bucket === last && left-- > 0)) found.push({ connection, closed });
      });
    }
    return found;
  }
}

/** The bucket that connection `most`, counted from the oldest, is in, and how many are in older ones. */
const lastBucket = (counts: Uint32Array, most: number): readonly [bucket: number, older: number] => {
  let older = 0;
  for (let bucket = buckets - 1; bucket > 0; bucket--) {
    const here = counts[bucket] as number;
    if (older + here >= most) return [bucket, older];
    older += here;
  }
  return [0, older];
};

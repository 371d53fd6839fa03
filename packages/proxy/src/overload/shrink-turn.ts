import { shrinkEveryMs, shrinkGivenUpMs } from "./limits.ts";

/** What all threads of a process take turns by; crosses to workers as it is. */
export const createShrinkCell = (): SharedArrayBuffer => new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);

/** Lets one thread of the process collect garbage at a time, and none again before some time has passed. */
export class ShrinkTurn {
  /** No thread may begin before that time, on the clock that all threads have in common. */
  private readonly notBefore: BigInt64Array;

  constructor(cell: SharedArrayBuffer) {
    this.notBefore = new BigInt64Array(cell);
  }

  /** Does `work` where it is this thread's turn. One that dies over it keeps the others waiting for a while only. */
  take(nowMs: () => number, work: () => void): boolean {
    const seen = Atomics.load(this.notBefore, 0);
    const now = whole(nowMs());
    if (seen !== never && now < seen) return false;
    const taken = now + BigInt(shrinkGivenUpMs);
    if (Atomics.compareExchange(this.notBefore, 0, seen, taken) !== seen) return false;
    try {
      work();
    } finally {
      Atomics.store(this.notBefore, 0, whole(nowMs()) + BigInt(shrinkEveryMs));
    }
    return true;
  }
}

/** What a new cell holds; a clock may well begin below. */
const never = 0n;

const whole = (ms: number): bigint => BigInt(Math.floor(ms));

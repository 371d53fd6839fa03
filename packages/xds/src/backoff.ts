import type { Random } from "@weft/core/world";

export interface BackoffLimits {
  readonly baseMs: number;
  readonly maxMs: number;
}

export interface Backoff {
  /** The wait before the next attempt; doubles its range each time, up to the maximum. */
  next(): number;
  /** Something came back from the other side: the next wait is short again. */
  reset(): void;
}

/** A tenth of the range at least, so that a failing peer is never called in a tight loop. */
const floorShare = 0.1;

/** Exponential back-off with full jitter: thousands of clients that lost one server come back spread out. */
export const exponentialBackoff = ({ baseMs, maxMs }: BackoffLimits, random: Random): Backoff => {
  let attempts = 0;
  return {
    next: () => {
      const range = Math.min(maxMs, baseMs * 2 ** Math.min(attempts, 30));
      attempts++;
      return range * (floorShare + (1 - floorShare) * random());
    },
    reset: () => {
      attempts = 0;
    },
  };
};

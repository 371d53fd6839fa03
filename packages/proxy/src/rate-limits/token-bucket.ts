/** Tokens that come back evenly over time, as Envoy's do: a request takes one. */
export interface TokenBucket {
  readonly max: number;
  /** False, and nothing is taken, where there is not a whole one. */
  take(nowMs: number): boolean;
  /** Whole tokens left. */
  remaining(nowMs: number): number;
  /** Seconds until there is a whole one, rounded up. */
  resetSeconds(nowMs: number): number;
  /** Another bucket like it, for what has that key; all who share this one share that one. */
  alike(key: string): TokenBucket;
}

/** Makes a full bucket of `max` tokens, of which `perMs` come back in a millisecond. */
export type BucketMaker = (max: number, perMs: number) => TokenBucket;

/** Sums of fractions fall short by less than this of what they stand for. */
const slack = 1e-9;

export const wholeTokens = (tokens: number): number => Math.max(0, Math.floor(tokens + slack));

/** Seconds until there is a whole token, rounded up. */
export const resetSeconds = (tokens: number, perMs: number): number =>
  wholeTokens(tokens) >= 1 ? 0 : Math.ceil((1 - tokens) / perMs / 1000);

/** The bucket of one thread. */
export class LocalTokenBucket implements TokenBucket {
  readonly max: number;
  private readonly perMs: number;
  /** When it would have been empty, had it filled ever since. */
  private emptyAtMs = Number.NEGATIVE_INFINITY;

  constructor(max: number, perMs: number) {
    this.max = max;
    this.perMs = perMs;
  }
  tokens(nowMs: number): number {
    return Math.min(this.max, (nowMs - this.emptyAtMs) * this.perMs);
  }
  take(nowMs: number): boolean {
    const tokens = this.tokens(nowMs);
    if (wholeTokens(tokens) < 1) return false;
    this.emptyAtMs = nowMs - (tokens - 1) / this.perMs;
    return true;
  }
  remaining(nowMs: number): number {
    return wholeTokens(this.tokens(nowMs));
  }
  resetSeconds(nowMs: number): number {
    return resetSeconds(this.tokens(nowMs), this.perMs);
  }
  alike(): TokenBucket {
    return new LocalTokenBucket(this.max, this.perMs);
  }
}

export const localBucket: BucketMaker = (max, perMs) => new LocalTokenBucket(max, perMs);

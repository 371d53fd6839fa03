/** Tokens that come back evenly over time, as Envoy's do: a request takes one. */
export interface TokenBucket {
  readonly max: number;
  /** False, and nothing is taken, where there is not a whole one. */
  take(nowMs: number): boolean;
  /** Whole tokens left. */
  remaining(nowMs: number): number;
  /** Seconds until there is a whole one, rounded up. */
  resetSeconds(nowMs: number): number;
}

/** `perMs`: how many come back in a millisecond. Full at first. */
export class LocalTokenBucket implements TokenBucket {
  readonly max: number;
  private readonly perMs: number;
  /** When it would have been empty, had it filled ever since. */
  private emptyAtMs = Number.NEGATIVE_INFINITY;

  constructor(max: number, perMs: number) {
    this.max = max;
    this.perMs = perMs;
  }
  private tokens(nowMs: number): number {
    return Math.min(this.max, (nowMs - this.emptyAtMs) * this.perMs);
  }
  take(nowMs: number): boolean {
    const tokens = this.tokens(nowMs);
    // Sums of fractions fall short by less than this of what they stand for.
    if (tokens < 1 - 1e-9) return false;
    this.emptyAtMs = nowMs - (tokens - 1) / this.perMs;
    return true;
  }
  remaining(nowMs: number): number {
    return Math.max(0, Math.floor(this.tokens(nowMs) + 1e-9));
  }
  resetSeconds(nowMs: number): number {
    const tokens = this.tokens(nowMs);
    return tokens >= 1 - 1e-9 ? 0 : Math.ceil((1 - tokens) / this.perMs / 1000);
  }
}

import type { BudgetLimit } from "./limits.ts";

/** Counts what a peer may do only so often. The clock is read only when the burst is used up. */
export class Budget {
  private tokens: number;
  private filledMs = -1;
  private readonly limit: BudgetLimit;
  private readonly nowMs: () => number;

  constructor(limit: BudgetLimit, nowMs: () => number) {
    this.limit = limit;
    this.nowMs = nowMs;
    this.tokens = limit.burst;
  }

  /** Takes one; false when there is none left. */
  take(): boolean {
    if (this.tokens < 1 && !this.refill()) return false;
    this.tokens--;
    return true;
  }

  /** Gives some back, up to the burst. */
  give(count: number): void {
    this.tokens = Math.min(this.limit.burst, this.tokens + count);
  }

  // Time counts from the first time the burst was used up: no clock is read for a peer that behaves.
  private refill(): boolean {
    const nowMs = this.nowMs();
    if (this.filledMs >= 0) this.give(((nowMs - this.filledMs) * this.limit.perSecond) / 1000);
    this.filledMs = nowMs;
    return this.tokens >= 1;
  }
}

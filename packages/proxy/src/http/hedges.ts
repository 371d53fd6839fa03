import type { Attempt } from "./attempt.ts";

/** More slow tries of one request are not kept beside the newest. */
export const hedgesMax = 8;

/** Tries that took too long and still run, while another was begun beside them. */
export class Hedges {
  /** The next try begins after a pause. */
  pausing = false;
  private readonly running: Attempt[] = [];

  /** More than one try may still answer. */
  get any(): boolean {
    return this.pausing || this.running.length > 0;
  }
  /** No other may be added. */
  get full(): boolean {
    return this.running.length >= hedgesMax;
  }
  add(attempt: Attempt): void {
    this.running.push(attempt);
  }
  /** The next try begins after a pause, while others run. */
  pause(): void {
    this.pausing = this.running.length > 0;
  }

  /**
   * A try has ended. Gives the one that the request goes on with from here, with its end; `undefined` where others are
   * still waited for. A good one ends the others.
   */
  settle(from: Attempt, current: Attempt, good: boolean): Attempt | undefined {
    const at = this.running.indexOf(from);
    if (at >= 0) this.running.splice(at, 1);
    if (good) {
      if (from !== current) current.cancel();
      this.cancel();
      return from;
    }
    const othersRun = this.pausing || this.running.length > 0 || (from !== current && current.active);
    if (!othersRun) return from;
    from.cancel();
    return undefined;
  }
  cancel(): void {
    this.pausing = false;
    for (const attempt of this.running) attempt.cancel();
    this.running.length = 0;
  }
}

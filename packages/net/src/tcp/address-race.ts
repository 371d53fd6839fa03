/** Which of several addresses of one host is tried when: each as soon as the one before fails or is slow (RFC 8305). */

/** How long one address is tried alone before the next one is tried beside it. */
export const attemptDelayMs = 300;

/** More addresses of one host than this are not tried. */
export const addressesTriedMax = 16;

export interface RaceStep {
  /** The address to try now, by its place. */
  readonly attempt: number | undefined;
  /** Call `late` after `attemptDelayMs`, unless there is another step before. */
  readonly wait: boolean;
  /** All have failed. */
  readonly over: boolean;
}

export class AddressRace {
  private readonly count: number;
  private begun = 0;
  private failures = 0;

  constructor(count: number) {
    this.count = Math.min(count, addressesTriedMax);
  }

  start(): RaceStep {
    return this.next();
  }
  /** An attempt has failed. */
  failed(): RaceStep {
    this.failures++;
    return this.next();
  }
  /** The latest attempt takes its time; it goes on beside the next one. */
  late(): RaceStep {
    return this.next();
  }

  private next(): RaceStep {
    if (this.begun >= this.count) return { attempt: undefined, wait: false, over: this.failures >= this.count };
    const attempt = this.begun++;
    return { attempt, wait: this.begun < this.count, over: false };
  }
}

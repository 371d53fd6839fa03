/** Lets so many pieces of work go on at once; others wait their turn, first come first served. */
export class FairQueue {
  private readonly most: number;
  private active = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(most: number) {
    this.most = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.active >= this.most) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.active++;
    try {
      return await work();
    } finally {
      // The place goes to whoever waits, so that nobody comes in between.
      const next = this.waiting.shift();
      if (next === undefined) this.active--;
      else next();
    }
  }
}

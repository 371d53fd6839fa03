/** Buckets of answer times: four for each doubling, from 1 ms to some two minutes. */
const bucketCount = 70;
const perDoubling = 4;
/** Fewer answers tell nothing of the slowest few in a hundred. */
const answersLeast = 50;
/** From here on what was counted counts half, so that an hour ago does not outweigh now. */
const answersMost = 2_048;
/** Answers between two looks at the buckets. */
const lookEvery = 16;
/** What may be saved up in quiet times. */
const savedMost = 10;

const bucketOf = (ms: number): number =>
  ms < 1 ? 0 : Math.min(bucketCount - 1, 1 + Math.floor(Math.log2(ms) * perDoubling));

/**
 * How long answers of one cluster take, and how many tries may be begun beside slow ones. One for each thread: each
 * learns for itself, and keeps to the share of what it forwards. Constant in size and in work for each request.
 */
export class HedgePace {
  private readonly counts = new Uint32Array(bucketCount);
  private total = 0;
  private sinceLook = lookEvery;
  private percentile = 0;
  private slowMs = Number.POSITIVE_INFINITY;
  private saved = 0;

  /** An answer's head came, milliseconds after the request was sent. */
  took(ms: number): void {
    const at = bucketOf(ms);
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.total++;
    this.sinceLook++;
    if (this.total >= answersMost) this.age();
  }

  /** No more than that percentage of answers took longer, within a fifth; infinite while too little is known. */
  slowFrom(percentile: number): number {
    if (this.total < answersLeast) return Number.POSITIVE_INFINITY;
    if (this.sinceLook < lookEvery && this.percentile === percentile) return this.slowMs;
    this.sinceLook = 0;
    this.percentile = percentile;
    const rank = (this.total * percentile) / 100;
    let seen = 0;
    let at = 0;
    for (; at < bucketCount - 1; at++) {
      seen += this.counts[at] ?? 0;
      if (seen >= rank) break;
    }
    this.slowMs = 2 ** (at / perDoubling);
    return this.slowMs;
  }

  /** A request came that adds this share of a try to what may be begun. */
  earn(percent: number): void {
    this.saved = Math.min(savedMost, this.saved + percent / 100);
  }
  get canSpend(): boolean {
    return this.saved >= 1;
  }
  spend(): void {
    this.saved--;
  }

  private age(): void {
    this.total = 0;
    for (let i = 0; i < bucketCount; i++) {
      const half = (this.counts[i] ?? 0) >>> 1;
      this.counts[i] = half;
      this.total += half;
    }
  }
}

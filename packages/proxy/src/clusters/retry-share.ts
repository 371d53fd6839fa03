/** Requests and retries are counted over this long, in two halves of which the older is dropped. */
const windowMs = 10_000;
const halfMs = windowMs / 2;

/**
 * How many retries one cluster may have of those nobody wrote: a share of the requests of the last seconds, and a few
 * more, so that the first failure of a quiet cluster is repeated. Requests in flight would not do as a measure: where all
 * fail at once a retry takes no longer than a request, and the least that is always allowed in flight lets every request
 * of a quiet cluster be repeated. One for each thread, which keeps to the share of what it forwards.
 */
export class RetryShare {
  private endMs = Number.NEGATIVE_INFINITY;
  private requests = 0;
  private requestsBefore = 0;
  private retries = 0;
  private retriesBefore = 0;

  /** A request came that is itself no retry. */
  count(nowMs: number): void {
    if (nowMs >= this.endMs) this.turn(nowMs);
    this.requests++;
  }
  /** Takes a retry; false where they would be more than that percentage, and more than so many. */
  take(nowMs: number, percent: number, atLeast: number): boolean {
    if (nowMs >= this.endMs) this.turn(nowMs);
    const most = Math.max(atLeast, Math.floor(((this.requests + this.requestsBefore) * percent) / 100));
    if (this.retries + this.retriesBefore >= most) return false;
    this.retries++;
    return true;
  }
  private turn(nowMs: number): void {
    const next = nowMs < this.endMs + halfMs;
    this.requestsBefore = next ? this.requests : 0;
    this.retriesBefore = next ? this.retries : 0;
    this.requests = 0;
    this.retries = 0;
    this.endMs = next ? this.endMs + halfMs : nowMs + halfMs;
  }
}

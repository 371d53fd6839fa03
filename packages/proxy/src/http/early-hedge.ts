import type { Cluster } from "../clusters/cluster.ts";
import type { HedgePace } from "../clusters/hedge-pace.ts";
import type { Hedging } from "../routing/route.ts";
import type { Retries } from "./retries.ts";

/** RFC 9110, section 9.2.1. A PUT may be repeated, but not beside a later one. */
const safe: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** Whether one request may have a second try beside a first that is slow for its cluster, and when. */
export class EarlyHedge {
  private readonly retries: Retries;
  private hedging: Hedging | undefined = undefined;
  private pace: HedgePace | undefined = undefined;
  /** The try is waited for that long; 0 where nothing is begun beside it. */
  private waitedMs = 0;
  /** A second try was begun. */
  private begun = false;

  /** `retries` of the same request. */
  constructor(retries: Retries) {
    this.retries = retries;
  }

  /** Only where nothing else bounds a try, and where another host may be chosen. */
  begin(hedging: Hedging | undefined, method: string, cluster: Cluster): void {
    if (hedging === undefined || !safe.has(method) || cluster.byHash === true) return;
    const { left, perTryTimeoutMs, perTryIdleTimeoutMs } = this.retries;
    if (left === 0 || perTryTimeoutMs > 0 || perTryIdleTimeoutMs > 0) return;
    const { kind } = cluster.discovery;
    if (kind === "dynamic" || kind === "originalDst") return;
    this.hedging = hedging;
    this.pace = cluster.times.hedgePace;
    this.pace.earn(hedging.maxExtraPercent);
  }

  /** How long to wait for the try that was just sent: 0 where it is waited for as long as it takes. */
  waitMs(): number {
    const { hedging, pace } = this;
    if (hedging === undefined || pace === undefined || this.begun) return 0;
    const slowMs = Math.max(hedging.minDelayMs, pace.slowFrom(hedging.percentile));
    this.waitedMs = slowMs === Number.POSITIVE_INFINITY ? 0 : Math.max(1, slowMs);
    return this.waitedMs;
  }
  /** The time of a try that ended is that of this bound, not of one on tries. */
  get waits(): boolean {
    return this.waitedMs > 0;
  }

  /** Takes the second try, within the share for all requests and the cluster's bound on retries. */
  take(cluster: Cluster): boolean {
    const { pace, waitedMs } = this;
    this.waitedMs = 0;
    if (pace === undefined || !pace.canSpend || this.retries.left === 0 || cluster.hosts().length < 2) return false;
    if (!this.retries.take(cluster, true, false)) return false;
    this.begun = true;
    pace.spend();
    // The first try takes at least that long; when it is given up nobody will know how long.
    pace.took(waitedMs + 1);
    return true;
  }

  /** The answer's head came so long after its try was sent. Of two tries the first is known to be slow already. */
  answered(status: number, tookMs: number): void {
    if (this.pace !== undefined && !this.begun && status < 500) this.pace.took(tookMs);
  }

  end(): void {
    this.hedging = undefined;
    this.pace = undefined;
    this.waitedMs = 0;
    this.begun = false;
  }
}

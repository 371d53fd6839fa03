import {
  idleClosesAgreeShare,
  idleClosesApartMs,
  idleLearnLeastMs,
  learnedIdleHoldsMs,
  retireEarlyLeastMs,
  retireEarlyMostMs,
  retireEarlyShare,
} from "./limits.ts";

const never = Number.POSITIVE_INFINITY;

/**
 * How long the servers at one host keep a connection that carries nothing: as they say it (Keep-Alive), or as two of
 * their closes show. Connections are retired before it, so that no request meets a close on its way.
 */
export class PeerPatience {
  private saidMs = never;
  private learnedMs = never;
  private learnedAtMs = 0;
  private onceMs = 0;
  private onceAtMs = 0;

  /** The server said how long it waits. */
  told(seconds: number): void {
    this.saidMs = seconds * 1000;
  }

  /** The server closed a connection after it had been idle for so long. One close may be a restart; two that agree are a limit. */
  closedIdle(idleMs: number, nowMs: number): void {
    if (idleMs < idleLearnLeastMs) return;
    const agrees = Math.abs(idleMs - this.onceMs) <= idleClosesAgreeShare * Math.max(idleMs, this.onceMs);
    if (agrees && nowMs - this.onceAtMs >= idleClosesApartMs) {
      this.learnedMs = Math.min(idleMs, this.onceMs);
      this.learnedAtMs = nowMs;
    }
    if (agrees && nowMs - this.onceAtMs < idleClosesApartMs) return;
    this.onceMs = idleMs;
    this.onceAtMs = nowMs;
  }

  /** How long a connection may rest before it is retired; Infinity while nothing is known. */
  restMs(nowMs: number): number {
    if (this.learnedMs !== never && nowMs - this.learnedAtMs > learnedIdleHoldsMs) this.learnedMs = never;
    const limitMs = Math.min(this.saidMs, this.learnedMs);
    if (limitMs === never) return never;
    const early = Math.min(retireEarlyMostMs, Math.max(retireEarlyLeastMs, limitMs * retireEarlyShare));
    return Math.max(0, limitMs - early);
  }
}

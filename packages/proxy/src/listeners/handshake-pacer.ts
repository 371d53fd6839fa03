import type { Counter, Gauge, Stats } from "../observe/stats.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";

/** A worker begins this many TLS handshakes a second: about two thirds of what one core can do. */
export const handshakesPerSecondDefault = 1_000;
/** More than this wait for their turn; the next one is refused. */
export const waitingHandshakesMax = 8_192;
/** This many begin in one go at most: what connections that stand have to wait for. */
const burstMost = 20;
const burstLeast = 1;
const tickMs = 4;

/** What the node's metadata says, `WEFT_HANDSHAKES_PER_SECOND`, where that is a number; it holds for each worker. */
export const handshakesPerSecond = ({ metadata }: { readonly metadata: Readonly<Record<string, unknown>> }): number => {
  const said = Number(metadata.WEFT_HANDSHAKES_PER_SECOND);
  return Number.isFinite(said) && said >= 1 ? said : handshakesPerSecondDefault;
};

/** A handshake that waits for its turn. */
export interface Handshake {
  /** False when the client has gone: it is passed over. */
  readonly wanted: () => boolean;
  readonly begin: () => void;
}

/**
 * Bounds how many handshakes begin per second on this thread, where each costs as much as a hundred requests: a storm
 * of clients waits in a queue instead of starving connections that stand. First come, first served.
 */
export class HandshakePacer {
  private readonly wheel: TimerWheel;
  private readonly perMs: number;
  private readonly burst: number;
  private readonly timer: WheelTimer;
  private readonly counters: { readonly delayed: Counter; readonly refused: Counter; readonly waiting: Gauge };
  private tokens: number;
  private filledMs: number;
  private queue: Handshake[] = [];
  /** How many at the front of the queue are done. */
  private taken = 0;

  constructor(wheel: TimerWheel, stats: Stats, perSecond: number) {
    this.wheel = wheel;
    this.perMs = perSecond / 1000;
    this.burst = Math.max(burstLeast, Math.min(burstMost, Math.ceil(perSecond / 50)));
    this.tokens = this.burst;
    this.filledMs = wheel.nowMs();
    this.timer = new WheelTimer(this, 0);
    this.counters = {
      delayed: stats.counter("tls.handshakes_delayed"),
      refused: stats.counter("tls.handshakes_refused"),
      waiting: stats.gauge("tls.handshakes_waiting"),
    };
  }

  /** There is room to begin one now: `take` it. */
  get ready(): boolean {
    if (this.taken < this.queue.length) return false;
    this.fill();
    return this.tokens >= 1;
  }
  take(): void {
    this.tokens--;
  }
  /** Lets one wait for its turn; false when too many do. */
  wait(handshake: Handshake): boolean {
    const { counters, queue } = this;
    if (queue.length - this.taken >= waitingHandshakesMax) {
      counters.refused.add(1);
      return false;
    }
    counters.delayed.add(1);
    counters.waiting.add(1);
    queue.push(handshake);
    if (!this.timer.armed) this.wheel.arm(this.timer, tickMs);
    return true;
  }

  onTimer(): void {
    const { counters, queue } = this;
    this.fill();
    while (this.taken < queue.length && this.tokens >= 1) {
      const next = queue[this.taken++] as Handshake;
      counters.waiting.add(-1);
      if (!next.wanted()) continue;
      this.tokens--;
      next.begin();
    }
    if (this.taken === queue.length) {
      this.queue = [];
      this.taken = 0;
      return;
    }
    if (this.taken > waitingHandshakesMax) {
      this.queue = queue.slice(this.taken);
      this.taken = 0;
    }
    this.wheel.arm(this.timer, tickMs);
  }

  private fill(): void {
    const now = this.wheel.nowMs();
    this.tokens = Math.min(this.burst, this.tokens + (now - this.filledMs) * this.perMs);
    this.filledMs = now;
  }
}

import { type TimerTarget, type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { Patience } from "./router-headers.ts";

export const timeoutKind = 0;
export const perTryKind = 1;
export const perTryIdleKind = 2;
export const backOffKind = 3;

/** The router's bounds on a request and on each of its tries. Its owner is told by kind. */
export class TryTimers {
  private readonly wheel: TimerWheel;
  private readonly timeout: WheelTimer;
  private readonly perTry: WheelTimer;
  private readonly perTryIdle: WheelTimer;
  private readonly backOff: WheelTimer;
  private idleMs = 0;

  constructor(owner: TimerTarget, wheel: TimerWheel) {
    this.wheel = wheel;
    this.timeout = new WheelTimer(owner, timeoutKind);
    this.perTry = new WheelTimer(owner, perTryKind);
    this.perTryIdle = new WheelTimer(owner, perTryIdleKind);
    this.backOff = new WheelTimer(owner, backOffKind);
  }

  /** The request as a whole, from now on; 0 is no bound. What runs already goes on. */
  armTimeout(ms: number): void {
    if (ms > 0 && !this.timeout.armed) this.wheel.arm(this.timeout, ms);
  }
  stopTimeout(): void {
    this.timeout.disarm();
  }
  /** What an upstream may be told now: all of the whole is left where its time does not run. */
  patience(timeoutMs: number, perTryMs: number): Patience {
    const leftMs = this.timeout.armed ? this.timeout.deadlineMs - this.wheel.nowMs() : timeoutMs;
    return { timeoutMs, perTryMs, leftMs };
  }
  /** One try, from the request's end. */
  armTry(ms: number): void {
    if (ms > 0) this.wheel.arm(this.perTry, ms);
  }
  /** How long the try may rest. */
  armIdle(ms: number): void {
    this.idleMs = ms;
    if (ms > 0) this.wheel.arm(this.perTryIdle, ms);
  }
  /** Something moved. */
  touch(): void {
    if (this.idleMs > 0) this.wheel.arm(this.perTryIdle, this.idleMs);
  }
  /** The try has its answer; it may still rest too long. */
  stopTry(): void {
    this.perTry.disarm();
  }
  /** The try is over. */
  endTry(): void {
    this.perTry.disarm();
    this.idleMs = 0;
    this.perTryIdle.disarm();
  }
  armBackOff(ms: number): void {
    this.wheel.arm(this.backOff, ms);
  }
  stopBackOff(): void {
    this.backOff.disarm();
  }
  disarm(): void {
    this.timeout.disarm();
    this.endTry();
    this.backOff.disarm();
  }
}

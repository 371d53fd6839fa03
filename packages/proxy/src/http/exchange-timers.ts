import type { RequestHead } from "@weft/protocols/http/head";
import type { ForwardAction } from "../routing/route.ts";
import { type TimerTarget, type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { HcmSettings } from "./hcm-settings.ts";

export const idleKind = 0;
export const requestKind = 1;
export const durationKind = 2;

/** The listener's and the route's bounds on how long one request may take. Its owner is told by kind. */
export class ExchangeTimers {
  private readonly wheel: TimerWheel;
  private readonly idle: WheelTimer;
  private readonly request: WheelTimer;
  private readonly duration: WheelTimer;
  private idleMs = 0;

  constructor(owner: TimerTarget, wheel: TimerWheel) {
    this.wheel = wheel;
    this.idle = new WheelTimer(owner, idleKind);
    this.request = new WheelTimer(owner, requestKind);
    this.duration = new WheelTimer(owner, durationKind);
  }

  /** The request came at `now`; `whole`: no body follows. */
  arm(settings: HcmSettings, now: number, whole: boolean): void {
    const { wheel } = this;
    const { streamIdleTimeoutMs, requestTimeoutMs, maxStreamDurationMs } = settings;
    this.idleMs = streamIdleTimeoutMs;
    if (streamIdleTimeoutMs > 0) wheel.armAt(this.idle, now + streamIdleTimeoutMs);
    if (!whole && requestTimeoutMs > 0) wheel.armAt(this.request, now + requestTimeoutMs);
    if (maxStreamDurationMs > 0) wheel.armAt(this.duration, now + maxStreamDurationMs);
  }
  /** The listener's bounds again in place of a route's, for a request that came whole at `startMs`. */
  restart({ streamIdleTimeoutMs, maxStreamDurationMs }: HcmSettings, startMs: number): void {
    this.setIdle(streamIdleTimeoutMs);
    this.setDuration(maxStreamDurationMs === 0 ? 0 : startMs + maxStreamDurationMs);
  }
  /** The route's bounds in place of the listener's, where it has some. */
  ofRoute({ idleTimeoutMs, durationFor }: ForwardAction, request: RequestHead, startMs: number): void {
    if (idleTimeoutMs !== undefined) this.setIdle(idleTimeoutMs);
    const durationMs = durationFor?.(request);
    if (durationMs !== undefined) this.setDuration(durationMs === 0 ? 0 : startMs + durationMs);
  }
  private setIdle(idleMs: number): void {
    this.idleMs = idleMs;
    if (idleMs > 0) this.touch();
    else this.idle.disarm();
  }
  /** At that moment, 0 for never. */
  private setDuration(deadlineMs: number): void {
    if (deadlineMs > 0) this.wheel.armAt(this.duration, deadlineMs);
    else this.duration.disarm();
  }
  /** Something moved. */
  touch(): void {
    if (this.idleMs > 0) this.wheel.arm(this.idle, this.idleMs);
  }
  /** The request is whole. */
  requestEnded(): void {
    this.request.disarm();
  }
  disarm(): void {
    this.idleMs = 0;
    this.idle.disarm();
    this.request.disarm();
    this.duration.disarm();
  }
}

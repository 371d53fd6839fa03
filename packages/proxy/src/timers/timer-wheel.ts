import type { Clock, SetTimer } from "@weft/core/world";

/** Who is told that a timer fired. `kind` tells one owner's timers apart. */
export interface TimerTarget {
  onTimer(kind: number): void;
}

/** One timer of a pooled object: made once, armed and disarmed per request without allocation. */
export class WheelTimer {
  target: TimerTarget;
  readonly kind: number;
  /** Infinity while disarmed. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Where it is linked; the slot may come before the deadline, then it moves on. */
  slotMs = 0;
  next: WheelTimer | undefined = undefined;
  linked = false;

  constructor(target: TimerTarget, kind: number) {
    this.target = target;
    this.kind = kind;
  }

  get armed(): boolean {
    return this.deadlineMs !== Number.POSITIVE_INFINITY;
  }

  /** Disarming is only a mark: the timer stays linked, so that arming it again later costs one store. */
  disarm(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }
  /** Disarms it for good. Where it stays linked, maybe for minutes, it no longer holds on to whom it was for. */
  retire(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.target = nobody;
  }
  get retired(): boolean {
    return this.target === nobody;
  }
}

const nobody: TimerTarget = { onTimer() {} };

const slots = 512;
const nearTickMs = 4;
const farTickMs = 1024;
const nearSpanMs = slots * nearTickMs;
/** How far ahead of its deadline a timer of the far wheel is looked at. */
const farMarginMs = farTickMs;
/**
 * From this many timers in the far wheel on, and whenever it holds twice as many as it kept the last time, those that
 * were retired are taken out: else connections that come and go leave their timers there for minutes.
 */
const sweptFrom = 8_192;

/**
 * Timers of many connections and requests behind one timer of the process: a near wheel of 4 ms slots for 2 s, a far
 * one of 1 s slots. A timer fires at its deadline or up to a slot later, never before.
 */
export class TimerWheel {
  private readonly clock: Clock;
  private readonly setTimer: SetTimer;
  private readonly near: (WheelTimer | undefined)[] = new Array(slots).fill(undefined);
  private readonly far: (WheelTimer | undefined)[] = new Array(slots).fill(undefined);
  private nearCount = 0;
  private farCount = 0;
  private sweepAt = sweptFrom;
  /** Slots up to and with this one are done. */
  private nearDone: number;
  private farDone: number;
  private armed: Disposable | undefined = undefined;
  private armedAtMs = Number.POSITIVE_INFINITY;
  private readonly tick: () => void;

  constructor(clock: Clock, setTimer: SetTimer) {
    this.clock = clock;
    this.setTimer = setTimer;
    this.nearDone = Math.floor(clock.nowMs() / nearTickMs);
    this.farDone = Math.floor(clock.nowMs() / farTickMs);
    this.tick = () => this.onTick();
  }

  nowMs(): number {
    return this.clock.nowMs();
  }
  /** How many timers it holds on to, whether they are armed or not. */
  get size(): number {
    return this.nearCount + this.farCount;
  }

  arm(timer: WheelTimer, delayMs: number): void {
    this.armAt(timer, this.clock.nowMs() + delayMs);
  }

  armAt(timer: WheelTimer, deadlineMs: number): void {
    timer.deadlineMs = deadlineMs;
    // Still linked before the new deadline: the visit there moves it on.
    if (timer.linked && timer.slotMs <= deadlineMs + nearTickMs) return;
    if (timer.linked) this.unlink(timer);
    this.link(timer);
    this.wake(timer.slotMs);
  }

  /** Lets nothing fire any more. */
  close(): void {
    this.armed?.[Symbol.dispose]();
    this.armed = undefined;
    this.armedAtMs = Number.POSITIVE_INFINITY;
    this.near.fill(undefined);
    this.far.fill(undefined);
    this.nearCount = 0;
    this.farCount = 0;
  }

  private link(timer: WheelTimer): void {
    const now = this.clock.nowMs();
    timer.linked = true;
    if (timer.deadlineMs - now < nearSpanMs - 2 * nearTickMs) {
      const at = Math.max(Math.ceil(timer.deadlineMs / nearTickMs), this.nearDone + 1);
      timer.slotMs = at * nearTickMs;
      this.push(this.near, at, timer);
      this.nearCount++;
      return;
    }
    const latest = this.farDone + slots - 1;
    const wanted = Math.floor((timer.deadlineMs - farMarginMs) / farTickMs);
    const at = Math.min(latest, Math.max(wanted, this.farDone + 1));
    timer.slotMs = at * farTickMs;
    this.push(this.far, at, timer);
    this.farCount++;
    if (this.farCount >= this.sweepAt) this.sweep();
  }

  private sweep(): void {
    for (let at = 0; at < slots; at++) {
      let kept: WheelTimer | undefined;
      let timer = this.far[at];
      while (timer !== undefined) {
        const { next } = timer;
        if (timer.retired) {
          timer.linked = false;
          timer.next = undefined;
          this.farCount--;
        } else {
          timer.next = kept;
          kept = timer;
        }
        timer = next;
      }
      this.far[at] = kept;
    }
    this.sweepAt = Math.max(sweptFrom, 2 * this.farCount);
  }

  private push(wheel: (WheelTimer | undefined)[], at: number, timer: WheelTimer): void {
    timer.next = wheel[at % slots];
    wheel[at % slots] = timer;
  }

  /** Rare: a timer armed for sooner than where it is linked. */
  private unlink(timer: WheelTimer): void {
    const inNear = this.removeFrom(this.near, Math.round(timer.slotMs / nearTickMs), timer);
    if (inNear) this.nearCount--;
    else if (this.removeFrom(this.far, Math.round(timer.slotMs / farTickMs), timer)) this.farCount--;
    timer.linked = false;
    timer.next = undefined;
  }

  private removeFrom(wheel: (WheelTimer | undefined)[], at: number, timer: WheelTimer): boolean {
    let previous: WheelTimer | undefined;
    for (let each = wheel[at % slots]; each !== undefined; each = each.next) {
      if (each === timer) {
        if (previous === undefined) wheel[at % slots] = timer.next;
        else previous.next = timer.next;
        return true;
      }
      previous = each;
    }
    return false;
  }

  private onTick(): void {
    this.armed = undefined;
    this.armedAtMs = Number.POSITIVE_INFINITY;
    const now = this.clock.nowMs();
    const farNow = Math.floor(now / farTickMs);
    this.visit(this.far, this.farDone, farNow, now);
    this.visit(this.near, this.nearDone, Math.floor(now / nearTickMs), now);
    this.wakeForNext();
  }

  /** Takes the slots after `done` up to `upTo`, fires what is due, links the rest anew. */
  private visit(wheel: (WheelTimer | undefined)[], done: number, upTo: number, now: number): void {
    let due: WheelTimer | undefined;
    let taken = 0;
    const first = Math.max(done + 1, upTo - slots + 1);
    for (let at = first; at <= upTo; at++) {
      let timer = wheel[at % slots];
      wheel[at % slots] = undefined;
      while (timer !== undefined) {
        const { next } = timer;
        timer.next = due;
        due = timer;
        taken++;
        timer = next;
      }
    }
    if (wheel === this.near) {
      this.nearDone = Math.max(this.nearDone, upTo);
      this.nearCount -= taken;
    } else {
      this.farDone = Math.max(this.farDone, upTo);
      this.farCount -= taken;
    }
    while (due !== undefined) {
      const timer: WheelTimer = due;
      due = timer.next;
      timer.next = undefined;
      timer.linked = false;
      if (timer.deadlineMs <= now) {
        timer.deadlineMs = Number.POSITIVE_INFINITY;
        timer.target.onTimer(timer.kind);
      } else if (timer.deadlineMs !== Number.POSITIVE_INFINITY && !timer.linked) {
        this.link(timer);
      }
    }
  }

  private wakeForNext(): void {
    let nextMs = Number.POSITIVE_INFINITY;
    if (this.nearCount > 0) nextMs = this.firstFilled(this.near, this.nearDone, nearTickMs);
    if (this.farCount > 0) nextMs = Math.min(nextMs, this.firstFilled(this.far, this.farDone, farTickMs));
    if (nextMs !== Number.POSITIVE_INFINITY) this.wake(nextMs);
  }

  private firstFilled(wheel: (WheelTimer | undefined)[], done: number, tickMs: number): number {
    for (let at = done + 1; at <= done + slots; at++) if (wheel[at % slots] !== undefined) return at * tickMs;
    return Number.POSITIVE_INFINITY;
  }

  private wake(atMs: number): void {
    if (this.armedAtMs <= atMs) return;
    this.armed?.[Symbol.dispose]();
    this.armedAtMs = atMs;
    this.armed = this.setTimer(this.tick, Math.max(0, Math.ceil(atMs - this.clock.nowMs())));
  }
}

/** Time that only the test lets pass. */
import type { Clock, SetTimer } from "../world.ts";

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

export interface VirtualTime {
  /** Those that are armed. */
  readonly timers: ReadonlySet<Timer>;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  /** Runs what is due in its order, with what follows from it. */
  pass(ms: number): void;
  /** Runs the first that is due by then, at its time; `false` when none is. */
  step(untilMs: number): boolean;
}

export const virtualTime = (startMs = 0): VirtualTime => {
  let nowMs = startMs;
  const timers = new Set<Timer>();
  const step = (untilMs: number): boolean => {
    const [next] = [...timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
    if (!next) return false;
    timers.delete(next);
    nowMs = Math.max(nowMs, next.atMs);
    next.run();
    return true;
  };
  return {
    timers,
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    setTimer: (run, delayMs) => {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    step,
    pass: (ms) => {
      const untilMs = nowMs + ms;
      while (step(untilMs));
      nowMs = untilMs;
    },
  };
};

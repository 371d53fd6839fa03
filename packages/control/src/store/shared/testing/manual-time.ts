/** Time that passes only when a test says so. */
import { setImmediate } from "node:timers/promises";
import type { Clock, SetTimer } from "@weft/core/world";

export interface ManualTime {
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  /** Runs what is due in its order, each with what follows from it. */
  advance(ms: number): Promise<void>;
}

export const createManualTime = (): ManualTime => {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  return {
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    setTimer: (run, delayMs) => {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await setImmediate();
      for (;;) {
        const [next] = [...timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
        if (!next) break;
        timers.delete(next);
        nowMs = Math.max(nowMs, next.atMs);
        next.run();
        await setImmediate();
      }
      nowMs = untilMs;
      await setImmediate();
    },
  };
};

/** Time that passes only when a test says so, with turns of the event loop between what is due. */
import { setImmediate } from "node:timers/promises";
import { virtualTime } from "@weft/core/testing/virtual-time";
import type { Clock, SetTimer } from "@weft/core/world";

export interface ManualTime {
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  /** Runs what is due in its order, each with what follows from it. */
  advance(ms: number): Promise<void>;
}

export const createManualTime = (): ManualTime => {
  const { clock, setTimer, step, pass } = virtualTime();
  return {
    clock,
    setTimer,
    async advance(ms) {
      const untilMs = clock.nowMs() + ms;
      await setImmediate();
      while (step(untilMs)) await setImmediate();
      pass(untilMs - clock.nowMs());
      await setImmediate();
    },
  };
};

/** The real clock and timers, to hand to what takes them as arguments. */
import type { Clock, SetTimer } from "@weft/core/world";

export const realClock: Clock = { nowMs: () => performance.now(), wallMs: () => Date.now() };

/** A timer that does not keep the process alive by itself. */
export const setRealTimer: SetTimer = (callback, delayMs) => {
  const timer = setTimeout(callback, Math.min(delayMs, delayMsMax));
  timer.unref();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
};

/** What setTimeout takes; a longer delay would fire at once. */
const delayMsMax = 2 ** 31 - 1;

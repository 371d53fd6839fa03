/** For tests: time that only the test lets pass. */
export const virtualTime = () => {
  let nowMs = 0;
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  return {
    timers,
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    setTimer: (run: () => void, delayMs: number): Disposable => {
      const timer = { at: nowMs + delayMs, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => timers.delete(timer) };
    },
    pass: (ms: number): void => {
      const until = nowMs + ms;
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (!next) break;
        timers.delete(next);
        nowMs = Math.max(nowMs, next.at);
        next.run();
      }
      nowMs = until;
    },
  };
};

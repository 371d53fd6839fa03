/** Queries that Consul holds until something changed, asked again and again, never in a tight loop. */
import type { SourceTools } from "../outside/source-events.ts";
import type { ConsulAnswer, ConsulCalls } from "./consul-calls.ts";

/** From one question to the next, where answers come at once. */
export const gapMs = 50;
/** After an answer that is no news and did not wait for any: its server does not hold queries. */
export const idleGapMs = 2_000;
/** A held query that changed nothing takes longer. */
const heldMs = 1_000;

export interface Polls extends Disposable {
  readonly signal: AbortSignal;
  /** Never settles once the polls were disposed of. */
  pause(delayMs: number): Promise<void>;
  /** Asks after `index`, then after each answer. Ends when the signal says so; rejects as the calls and `take` do. */
  follow(path: string, index: number, signal: AbortSignal, take: (answer: ConsulAnswer) => void): Promise<void>;
}

export const createPolls = (
  calls: ConsulCalls,
  { clock, setTimer, random }: Pick<SourceTools, "clock" | "setTimer" | "random">,
): Polls => {
  const stop = new AbortController();
  const timers = new Set<Disposable>();
  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      if (stop.signal.aborted) return;
      const timer = setTimer(() => {
        timers.delete(timer);
        resolve();
      }, delayMs);
      timers.add(timer);
    });
  return {
    signal: stop.signal,
    pause,
    async follow(path, index, signal, take) {
      let last = index;
      while (!signal.aborted) {
        const askedMs = clock.nowMs();
        const answer = await calls.get(path, { index: last, signal });
        if (signal.aborted) return;
        take(answer);
        const tookMs = clock.nowMs() - askedMs;
        if (answer.index === last && tookMs < heldMs) await pause(idleGapMs * (0.5 + random()));
        else if (tookMs < gapMs) await pause(gapMs - tookMs);
        last = answer.index;
      }
    },
    [Symbol.dispose]: () => {
      stop.abort();
      for (const timer of timers) timer[Symbol.dispose]();
      timers.clear();
    },
  };
};

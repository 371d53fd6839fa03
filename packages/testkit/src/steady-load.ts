import { callHttp, type HttpAnswer, type HttpCall } from "./http-call.ts";

/** Requests one after another from several workers for as long as it is open; every answer is kept count of. */
export interface SteadyLoad extends AsyncDisposable {
  readonly total: () => number;
  /** What went wrong, with when: an answer that `isGood` refused, or no answer. */
  readonly failures: readonly { readonly atMs: number; readonly what: string }[];
  /** How long the answers since the last question took, in milliseconds, as they came; ten thousand at most. */
  takeTimes(): readonly number[];
  /** Resolves after that many more answers. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
}

const failuresMax = 1000;
const timesMax = 10_000;

export const startLoad = (
  address: string,
  call: HttpCall,
  isGood: (answer: HttpAnswer) => boolean = ({ status }) => status === 200,
  workers = 4,
): SteadyLoad => {
  const failures: { atMs: number; what: string }[] = [];
  const waiters = new Set<{ until: number; resolve: () => void }>();
  let total = 0;
  let running = true;
  let times: number[] = [];
  const work = async (): Promise<void> => {
    while (running) {
      let what: string | undefined;
      const startMs = performance.now();
      try {
        const answer = await callHttp(address, call);
        if (!isGood(answer)) what = `${answer.status} ${answer.body.slice(0, 200)}`;
      } catch (error) {
        what = String(error);
      }
      total++;
      if (times.length < timesMax) times.push(performance.now() - startMs);
      if (what !== undefined && failures.length < failuresMax) failures.push({ atMs: performance.now(), what });
      for (const waiter of waiters) {
        if (total < waiter.until) continue;
        waiters.delete(waiter);
        waiter.resolve();
      }
    }
  };
  const finished = Promise.all(Array.from({ length: workers }, work));
  const stop = async (): Promise<void> => {
    running = false;
    await finished;
  };
  return {
    total: () => total,
    failures,
    takeTimes: () => {
      const taken = times;
      times = [];
      return taken;
    },
    more: (count) => new Promise((resolve) => void waiters.add({ until: total + count, resolve })),
    stop,
    [Symbol.asyncDispose]: stop,
  };
};

/** Asks a program again and again whether it is well, and says so when its answer has changed for good. */
import type { SetTimer } from "@weft/core/world";

export interface ProbeTimes {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

export interface ProbeTools {
  /** `undefined`: well; else why not. Never rejects. */
  readonly ask: () => Promise<string | undefined>;
  readonly changed: (health: "healthy" | "unhealthy", why: string) => void;
  readonly setTimer: SetTimer;
}

/**
 * Until the first success has been seen often enough the program is not well, and `changed` says so at once. One question
 * at a time; the next comes a period after the one before was answered.
 */
export const startProbe = (times: ProbeTimes, { ask, changed, setTimer }: ProbeTools): Disposable => {
  let healthy = false;
  let successes = 0;
  let failures = 0;
  let ended = false;
  let timer: Disposable | undefined;

  const note = (problem: string | undefined): void => {
    successes = problem === undefined ? successes + 1 : 0;
    failures = problem === undefined ? 0 : failures + 1;
    if (!healthy && successes >= times.successThreshold) {
      healthy = true;
      changed("healthy", "");
    } else if (healthy && failures >= times.failureThreshold) {
      healthy = false;
      changed("unhealthy", problem ?? "");
    }
  };
  const round = async (): Promise<void> => {
    const problem = await ask();
    if (ended) return;
    note(problem);
    timer = setTimer(() => void round(), times.periodMs);
  };
  changed("unhealthy", "it has not been asked yet");
  timer = setTimer(() => void round(), times.initialDelayMs);
  return {
    [Symbol.dispose]: () => {
      ended = true;
      timer?.[Symbol.dispose]();
    },
  };
};

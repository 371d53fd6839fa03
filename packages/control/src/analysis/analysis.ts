/** Analysis beside everything else: in slices, between which pushes and requests have their turn, and one after the other. */
import { analysisSteps } from "@weft/config/analyze/analyze";
import type { AnalyzeContext } from "@weft/config/analyze/facts";
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { Clock, SetTimer } from "@weft/core/world";
import { inSlices } from "../push/slices.ts";

export interface Analysis {
  /** What is wrong between the objects as they are when its turn comes. Rejects with what an analyzer throws. */
  run(objects: () => readonly ConfigObject[]): Promise<readonly Finding[]>;
  /** How many have not ended. */
  waiting(): number;
}

export interface AnalysisOptions {
  /** What is known beside the objects. */
  readonly facts: () => AnalyzeContext;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
}

export const createAnalysis = ({ facts, clock, setTimer }: AnalysisOptions): Analysis => {
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  const now = (objects: () => readonly ConfigObject[]): Promise<readonly Finding[]> =>
    new Promise((resolve, reject) => {
      const steps = (function* (): Generator<undefined, void> {
        try {
          resolve(yield* analysisSteps(objects(), facts()));
        } catch (error) {
          reject(error);
        }
      })();
      inSlices({ clock, setTimer, steps }, () => {});
    });
  return {
    async run(objects) {
      waiting++;
      const turn = last.then(() => now(objects));
      last = turn.catch(() => {});
      try {
        return await turn;
      } finally {
        waiting--;
      }
    },
    waiting: () => waiting,
  };
};

/** Work that takes long, in slices between which others have their turn. */
import type { Clock, SetTimer } from "@weft/core/world";

/** What changes meanwhile waits no longer than about this. */
const sliceMs = 8;

export interface SlicedWork {
  readonly clock: Pick<Clock, "nowMs">;
  readonly setTimer: SetTimer;
  /** Each a small part of the work; one that throws ends it all. */
  readonly steps: Iterator<unknown>;
}

/** Begins at once; where one slice suffices it is done before this returns. `done` is told the time of all slices. */
export const inSlices = ({ clock, setTimer, steps }: SlicedWork, done: (busyMs: number) => void): void => {
  let busyMs = 0;
  const slice = (): void => {
    const startedMs = clock.nowMs();
    let over = true;
    try {
      over = isOverAfter(startedMs);
    } finally {
      busyMs += clock.nowMs() - startedMs;
      if (over) done(busyMs);
      else setTimer(slice, 0);
    }
  };
  const isOverAfter = (startedMs: number): boolean => {
    do if (steps.next().done) return true;
    while (clock.nowMs() - startedMs < sliceMs);
    return false;
  };
  slice();
};

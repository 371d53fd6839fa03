/** A line now and then about what peers can make happen as often as they like. */

/** How many went unsaid since the last line; `undefined`: this one is to go unsaid too. */
export type LogPace = (nowMs: number) => number | undefined;

/** Lets one line through each so many milliseconds, the first at once. */
export const createLogPace = (everyMs: number): LogPace => {
  let nextMs = Number.NEGATIVE_INFINITY;
  let unsaid = 0;
  return (nowMs) => {
    if (nowMs < nextMs) {
      unsaid++;
      return undefined;
    }
    const before = unsaid;
    unsaid = 0;
    nextMs = nowMs + everyMs;
    return before;
  };
};

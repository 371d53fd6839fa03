/** For tests: the cache's counters with nothing behind them. */
import { type CacheCounters, cacheCounters } from "../cache-stats.ts";

export const testCounters = (): CacheCounters => {
  const counter = () => {
    const made = {
      value: 0,
      add: (n: number) => {
        made.value += n;
      },
    };
    return made;
  };
  return cacheCounters({ counter });
};

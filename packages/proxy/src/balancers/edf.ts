/**
 * Earliest deadline first: picks items in proportion to their weights, spread as evenly as can be, in O(log n). The
 * weight is asked again at every pick, so it may depend on load.
 */
import type { Random } from "@weft/core/world";

export interface Edf {
  /** The index of the item whose turn it is; -1 when there is none. */
  readonly next: () => number;
}

/** A weight that is less counts as this: a deadline that is never reached would stop all others. */
const weightMin = 1e-9;

export const createEdf = (count: number, weightOf: (index: number) => number, random: Random): Edf => {
  const periodOf = (index: number): number => 1 / Math.max(weightOf(index), weightMin);
  const deadlines = new Float64Array(count);
  const heap = new Uint32Array(count);
  let now = 0;

  const before = (a: number, b: number): boolean => {
    const left = deadlines[a] as number;
    const right = deadlines[b] as number;
    return left < right || (left === right && a < b);
  };
  const sink = (from: number): void => {
    let at = from;
    const item = heap[at] as number;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= count) break;
      if (child + 1 < count && before(heap[child + 1] as number, heap[child] as number)) child++;
      if (!before(heap[child] as number, item)) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = item;
  };

  for (let i = 0; i < count; i++) {
    heap[i] = i;
    // A random phase, so that many proxies do not all begin with the same host.
    deadlines[i] = random() * periodOf(i);
  }
  for (let i = (count >> 1) - 1; i >= 0; i--) sink(i);

  return {
    next: () => {
      if (count === 0) return -1;
      const item = heap[0] as number;
      now = Math.max(now, deadlines[item] as number);
      deadlines[item] = now + periodOf(item);
      sink(0);
      return item;
    },
  };
};

/** True when all hosts weigh the same, so that plain rotation will do. */
export const equalWeights = (weights: readonly number[]): boolean => weights.every((weight) => weight === weights[0]);

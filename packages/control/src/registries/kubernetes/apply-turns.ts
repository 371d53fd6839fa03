/**
 * Applies changes of many objects in turns of a few milliseconds, so that a large list keeps nobody waiting. A few
 * changes are applied at once. Each is applied as the object is when its turn comes.
 */
import type { Clock, SetTimer } from "@weft/core/world";

/** Then everything else has its turn. */
export const turnMs = 10;

export interface ApplyTurns<C> extends Disposable {
  /** Changes of the collection `id`, which are given away; a later one of the same key takes the place of the former. */
  add(id: string, changes: Map<string, C>): void;
  /** Lets go what waits of that collection. */
  forget(id: string): void;
  /** Whether something waits for its turn. */
  readonly busy: () => boolean;
}

export interface ApplyTurnsOptions<C> {
  readonly apply: (id: string, key: string, change: C) => void;
  /** After each turn: the collections of which something was applied. */
  readonly applied: (ids: ReadonlySet<string>) => void;
  readonly clock: Pick<Clock, "nowMs">;
  readonly setTimer: SetTimer;
}

export const createApplyTurns = <C>({ apply, applied, clock, setTimer }: ApplyTurnsOptions<C>): ApplyTurns<C> => {
  const waiting = new Map<string, Map<string, C>>();
  let timer: Disposable | undefined;
  const turn = (): void => {
    timer = undefined;
    const endsMs = clock.nowMs() + turnMs;
    const touched = new Set<string>();
    const next = (): boolean => {
      for (const [id, changes] of waiting) {
        for (const [key, change] of changes) {
          changes.delete(key);
          touched.add(id);
          apply(id, key, change);
          if (clock.nowMs() >= endsMs) return true;
        }
        if (changes.size === 0) waiting.delete(id);
      }
      return false;
    };
    next();
    for (const [id, { size }] of waiting) if (size === 0) waiting.delete(id);
    if (waiting.size > 0) timer = setTimer(turn, 0);
    if (touched.size > 0) applied(touched);
  };
  return {
    add(id, changes) {
      if (changes.size === 0) return;
      const known = waiting.get(id);
      if (known) for (const [key, change] of changes) known.set(key, change);
      else waiting.set(id, changes);
      if (!timer) turn();
    },
    forget: (id) => void waiting.delete(id),
    busy: () => waiting.size > 0,
    [Symbol.dispose]: () => {
      timer?.[Symbol.dispose]();
      waiting.clear();
    },
  };
};

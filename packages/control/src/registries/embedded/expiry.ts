/** Deadlines of many keys: a heap that is told only of new keys, and looks again when a deadline it knew has passed. */
export interface Expiry {
  /** Watches a key; one that is watched already is looked at again no later than this. */
  add(key: string, deadlineMs: number): void;
  /** Keys whose deadline has passed. `deadlineOf` says the present one; `undefined` means the key is gone. */
  due(nowMs: number, deadlineOf: (key: string) => number | undefined): readonly string[];
  /** No key expires before this; `undefined` when none is watched. */
  nextMs(): number | undefined;
}

interface Slot {
  readonly key: string;
  readonly atMs: number;
}

export const createExpiry = (): Expiry => {
  const heap: Slot[] = [];
  /** When each key is looked at next; slots of the heap that say otherwise are stale. */
  const watched = new Map<string, number>();

  const push = (slot: Slot): void => {
    let at = heap.length;
    heap.push(slot);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Slot).atMs <= slot.atMs) break;
      heap[at] = heap[parent] as Slot;
      at = parent;
    }
    heap[at] = slot;
  };

  const pop = (): Slot | undefined => {
    const top = heap[0];
    const last = heap.pop();
    if (!top || !last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Slot).atMs < (heap[child] as Slot).atMs) child++;
      if ((heap[child] as Slot).atMs >= last.atMs) break;
      heap[at] = heap[child] as Slot;
      at = child;
    }
    heap[at] = last;
    return top;
  };

  return {
    add(key, deadlineMs) {
      if ((watched.get(key) ?? Number.POSITIVE_INFINITY) <= deadlineMs) return;
      watched.set(key, deadlineMs);
      push({ key, atMs: deadlineMs });
    },
    due(nowMs, deadlineOf) {
      const passed: string[] = [];
      for (let top = heap[0]; top && top.atMs <= nowMs; top = heap[0]) {
        pop();
        if (watched.get(top.key) !== top.atMs) continue;
        const deadline = deadlineOf(top.key);
        if (deadline !== undefined && deadline > nowMs) {
          watched.set(top.key, deadline);
          push({ key: top.key, atMs: deadline });
          continue;
        }
        watched.delete(top.key);
        if (deadline !== undefined) passed.push(top.key);
      }
      return passed;
    },
    nextMs: () => heap[0]?.atMs,
  };
};

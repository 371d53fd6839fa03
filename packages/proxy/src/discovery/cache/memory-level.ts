/**
 * The first level of the discovery cache: what was asked for by name and is in force. An entry that is used is
 * refreshed shortly before its time is over and stays; one that is not leaves. How much an entry was used is looked up
 * when it matters, so that using it costs a request nothing.
 */
import type { Clock, SetTimer } from "@weft/core/world";
import type { LevelCounters } from "./cache-stats.ts";
import { evictIdleMs, refreshAheadMs, useLookMs } from "./limits.ts";

/** How an entry is used: requests and connections so far, and whether there are some right now. */
export interface EntryUse {
  readonly count: number;
  readonly busy: boolean;
}

export interface MemoryLevelOptions {
  readonly ttlMs: number;
  readonly bytesMax: number;
  readonly clock: Pick<Clock, "nowMs">;
  readonly setTimer: SetTimer;
  /** `undefined` where nobody can tell: such an entry leaves only to make room. */
  readonly useOf: (name: string) => EntryUse | undefined;
  /** Gives the entry up. `remove` is called for it by then, or soon. */
  readonly release: (source: string, name: string) => void;
  /** It is used and stays. */
  readonly refreshed: (source: string, name: string) => void;
  readonly counters: LevelCounters<"l1">;
}

export interface MemoryEntry {
  readonly source: string;
  readonly name: string;
  readonly bytes: number;
  /** Since it came or was refreshed. */
  readonly ageMs: number;
  /** Until it leaves, unless it is used. */
  readonly leftMs: number;
}

export interface MemoryLevel extends Disposable {
  /** It is in force. */
  put(source: string, name: string, bytes: number): void;
  remove(source: string, name: string): void;
  /** Gives up the entry that was used longest ago, if that is long enough. */
  makeRoom(): boolean;
  entries(): readonly MemoryEntry[];
  usage(): { readonly entries: number; readonly bytes: number };
}

interface Slot {
  readonly source: string;
  readonly name: string;
  bytes: number;
  freshMs: number;
  usedMs: number;
  count: number;
  /** The time of its refresh has passed without use. */
  idle: boolean;
}

/** Entries that are found in use after all, while room is made, before that is given up. */
const looksMax = 8;

export const createMemoryLevel = (options: MemoryLevelOptions): MemoryLevel => {
  const { ttlMs, bytesMax, clock, counters } = options;
  const aheadMs = Math.min(refreshAheadMs, ttlMs / 2);
  const slots = new Map<string, Slot>();
  let bytes = 0;
  let timer: Disposable | undefined;
  let timerAtMs = Number.POSITIVE_INFINITY;
  let lookedMs = Number.NEGATIVE_INFINITY;

  const keyOf = (source: string, name: string): string => `${source}\n${name}`;
  const dueMs = ({ freshMs, idle }: Slot): number => freshMs + ttlMs - (idle ? 0 : aheadMs);

  /** Whether it was used since it came or was refreshed. */
  const look = (slot: Slot): boolean => {
    const nowMs = clock.nowMs();
    const use = options.useOf(slot.name);
    if (use === undefined) slot.usedMs = Math.max(slot.usedMs, slot.freshMs);
    else {
      // A cluster that was put in force anew may count from 0 again.
      if (use.count > slot.count) counters.hits.add(use.count - slot.count);
      if (use.count !== slot.count || use.busy) slot.usedMs = nowMs;
      slot.count = use.count;
    }
    return use === undefined || slot.usedMs > slot.freshMs;
  };

  const arm = (atMs: number): void => {
    if (atMs >= timerAtMs) return;
    timer?.[Symbol.dispose]();
    timerAtMs = atMs;
    timer = options.setTimer(tick, Math.max(1, atMs - clock.nowMs()));
  };
  const armNext = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    timerAtMs = Number.POSITIVE_INFINITY;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const slot of slots.values()) nextMs = Math.min(nextMs, dueMs(slot));
    if (Number.isFinite(nextMs)) arm(nextMs);
  };
  const tick = (): void => {
    const nowMs = clock.nowMs();
    for (const slot of [...slots.values()]) {
      if (dueMs(slot) > nowMs) continue;
      if (look(slot)) refresh(slot);
      else if (nowMs >= slot.freshMs + ttlMs) evict(slot);
      else slot.idle = true;
    }
    armNext();
  };

  const refresh = (slot: Slot): void => {
    slot.freshMs = clock.nowMs();
    slot.idle = false;
    counters.refreshed.add(1);
    options.refreshed(slot.source, slot.name);
  };
  const remove = (source: string, name: string): void => {
    const key = keyOf(source, name);
    bytes -= slots.get(key)?.bytes ?? 0;
    slots.delete(key);
  };
  const evict = ({ source, name }: Slot): void => {
    remove(source, name);
    counters.evicted.add(1);
    options.release(source, name);
  };

  const makeRoom = (): boolean => {
    const nowMs = clock.nowMs();
    if (nowMs - lookedMs >= useLookMs) {
      lookedMs = nowMs;
      for (const slot of slots.values()) look(slot);
    }
    for (let looks = 0; looks < looksMax; looks++) {
      let oldest: Slot | undefined;
      for (const slot of slots.values()) if (!oldest || slot.usedMs < oldest.usedMs) oldest = slot;
      if (!oldest || nowMs - oldest.usedMs < evictIdleMs) return false;
      const { usedMs } = oldest;
      look(oldest);
      if (oldest.usedMs !== usedMs) continue;
      evict(oldest);
      return true;
    }
    return false;
  };

  return {
    put: (source, name, size) => {
      const known = slots.get(keyOf(source, name));
      bytes += size - (known?.bytes ?? 0);
      if (known) known.bytes = size;
      else {
        const nowMs = clock.nowMs();
        const count = options.useOf(name)?.count ?? 0;
        const slot = { source, name, bytes: size, freshMs: nowMs, usedMs: nowMs, count, idle: false };
        slots.set(keyOf(source, name), slot);
        arm(dueMs(slot));
      }
      while (bytes > bytesMax && makeRoom());
    },
    remove,
    makeRoom,
    entries: () => {
      const nowMs = clock.nowMs();
      return [...slots.values()].map(({ source, name, bytes: size, freshMs }) => ({
        ...{ source, name, bytes: size, ageMs: nowMs - freshMs, leftMs: Math.max(0, freshMs + ttlMs - nowMs) },
      }));
    },
    usage: () => ({ entries: slots.size, bytes }),
    [Symbol.dispose]: () => timer?.[Symbol.dispose](),
  };
};

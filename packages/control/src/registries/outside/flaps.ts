/**
 * Damps instances that come and go: one that was taken out `flapTimes` times within `flapWindowMs` comes back only after
 * it has stood for `flapQuietMs`. Whoever asks lets it back at once where its service has nothing else.
 */
import type { SourceInstance } from "./source-events.ts";

export const flapTimes = 3;
export const flapWindowMs = 60_000;
export const flapQuietMs = 10_000;

export interface Flaps {
  noteRemoval(key: string, nowMs: number): void;
  /** Whether the instance has to wait; if so it does from now on, or goes on waiting with what is new about it. */
  waits(instance: SourceInstance, nowMs: number): boolean;
  /** Whether it did wait. */
  stopWaiting(key: string): boolean;
  releaseDue(nowMs: number): readonly SourceInstance[];
  /** `NAMESPACE/SERVICE`: all of its instances that wait. */
  releaseService(service: string): readonly SourceInstance[];
  waitingKeys(): readonly string[];
  waiting(): number;
  deadlineMs(): number | undefined;
}

interface Waiting {
  readonly instance: SourceInstance;
  readonly dueMs: number;
}

export const createFlaps = (): Flaps => {
  /** In the order of the last removal. */
  const removals = new Map<string, readonly number[]>();
  /** In the order of their ends. */
  const waiting = new Map<string, Waiting>();

  const forgetOld = (nowMs: number): void => {
    for (const [key, times] of removals) {
      if (nowMs - (times.at(-1) ?? 0) < flapWindowMs) return;
      removals.delete(key);
    }
  };
  const release = (wanted: (one: Waiting) => boolean): readonly SourceInstance[] => {
    const released: SourceInstance[] = [];
    for (const [key, one] of waiting) {
      if (!wanted(one)) continue;
      waiting.delete(key);
      released.push(one.instance);
    }
    return released;
  };
  return {
    noteRemoval(key, nowMs) {
      forgetOld(nowMs);
      const times = removals.get(key) ?? [];
      removals.delete(key);
      removals.set(key, [...times, nowMs].slice(-flapTimes));
    },
    waits(instance, nowMs) {
      const { key } = instance;
      const before = waiting.get(key);
      const recent = (removals.get(key) ?? []).filter((atMs) => nowMs - atMs < flapWindowMs);
      if (!before && recent.length < flapTimes) return false;
      waiting.set(key, { instance, dueMs: before?.dueMs ?? nowMs + flapQuietMs });
      return true;
    },
    stopWaiting: (key) => waiting.delete(key),
    releaseDue: (nowMs) => release(({ dueMs }) => dueMs <= nowMs),
    releaseService: (service) => release(({ instance }) => `${instance.namespace}/${instance.service}` === service),
    waitingKeys: () => [...waiting.keys()],
    waiting: () => waiting.size,
    deadlineMs: () => {
      const [first] = waiting.values();
      return first?.dueMs;
    },
  };
};

/**
 * Instances of weft's own registry that were not renewed in time. One is a fact and gone; more than half of a service
 * within one time-to-live is a suspicion, and all of them are held. Pure.
 */
import { createExpiries, type Expiries, expiryWindowMs } from "../outside/expiries.ts";
import { holdMs } from "../outside/held-instances.ts";
import type { Instance } from "./instance.ts";
import { instanceKey } from "./instance-table.ts";

export interface ExpiredInstances {
  /** The registry has the one in place of the other from now on. */
  replaced(before: Instance | undefined, after: Instance | undefined): void;
  /**
   * Each has just reached its end, and is not held. `held` has also those that were believed to be gone before, as they
   * were then.
   */
  judge(ended: readonly Instance[], nowMs: number): Verdict;
  /** It lives, or was deleted: its expiry counts no more. */
  forget(key: string): void;
}

export interface Verdict {
  readonly gone: readonly Instance[];
  readonly held: readonly Instance[];
}

interface Ended {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly instance: Instance;
}

/** Those that stopped renewing at one moment end within one time-to-live; a day of it is no longer one moment. */
export const windowOf = ({ ttlSeconds }: Pick<Instance, "ttlSeconds">): number =>
  Math.min(Math.max(ttlSeconds * 1_000, expiryWindowMs), holdMs);

/** Whether so many ends are too many to be believed: `others` within the window, one more now, `usable` with that one. */
export const isSuspicious = (others: number, usable: number): boolean =>
  others > 0 && 2 * (others + 1) > usable + others;

const serviceOf = ({ namespace, service }: Pick<Instance, "namespace" | "service">): string =>
  `${namespace}/${service}`;

export const createExpiredInstances = (): ExpiredInstances => {
  /** By the length of their window: one for nearly every registry, a few hundred at the very most. */
  const windows = new Map<number, Expiries<Ended>>();
  /** Instances of a service that are not held. */
  const usable = new Map<string, number>();
  const count = (instance: Instance | undefined, by: number): void => {
    if (!instance || instance.heldUntil !== undefined) return;
    const service = serviceOf(instance);
    const after = (usable.get(service) ?? 0) + by;
    if (after > 0) usable.set(service, after);
    else usable.delete(service);
  };
  const forget = (key: string): void => {
    for (const expiries of windows.values()) expiries.forget(key);
  };
  const note = (instance: Instance, nowMs: number): void => {
    const windowMs = windowOf(instance);
    const expiries = windows.get(windowMs) ?? createExpiries<Ended>(windowMs);
    windows.set(windowMs, expiries);
    const { namespace, service } = instance;
    expiries.note({ key: instanceKey(instance), namespace, service, instance }, nowMs);
  };
  const othersOf = (service: string, nowMs: number): number =>
    [...windows.values()].reduce((sum, expiries) => sum + expiries.count(service, nowMs), 0);

  return {
    replaced(before, after) {
      count(before, -1);
      count(after, 1);
    },
    judge(ended, nowMs) {
      const gone = new Map<string, Instance>();
      const held = new Map<string, Instance>();
      const judged = new Map<string, number>();
      for (const instance of ended) {
        const [key, service] = [instanceKey(instance), serviceOf(instance)];
        forget(key);
        const before = judged.get(service) ?? 0;
        judged.set(service, before + 1);
        const isTooMuch = isSuspicious(othersOf(service, nowMs), (usable.get(service) ?? 0) - before);
        note(instance, nowMs);
        if (!isTooMuch) {
          gone.set(key, instance);
          continue;
        }
        for (const expiries of windows.values()) {
          for (const { key: believed, instance: one } of expiries.takeBack(service)) {
            gone.delete(believed);
            held.set(believed, one);
          }
        }
      }
      return { gone: [...gone.values()], held: [...held.values()] };
    },
    forget,
  };
};

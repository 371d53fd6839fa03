/** Instances whose time-to-live ended of late, by service: one is a fact, most of a service together is a suspicion. */
import type { SourceInstance } from "./source-events.ts";

/** Expiries this close together may have one cause that is not the instances' own. */
export const expiryWindowMs = 30_000;

/** What expires, whatever else it is. */
export interface Expiring {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
}

export interface Expiries<T extends Expiring = SourceInstance> {
  /** It expired now, and was believed to. */
  note(instance: T, nowMs: number): void;
  /** It came back, or was deleted: it counts no more. */
  forget(key: string): void;
  /** How many of the service (`NAMESPACE/SERVICE`) expired within the window. */
  count(service: string, nowMs: number): number;
  /** Those of them that were believed to be gone; from now on they are not. They go on counting. */
  takeBack(service: string): readonly T[];
}

interface Expiry<T> {
  readonly instance: T;
  readonly atMs: number;
}

interface ServiceExpiries {
  readonly keys: Set<string>;
  readonly believed: Set<string>;
}

export const createExpiries = <T extends Expiring = SourceInstance>(windowMs = expiryWindowMs): Expiries<T> => {
  /** In the order of their times. */
  const all = new Map<string, Expiry<T>>();
  const byService = new Map<string, ServiceExpiries>();
  const nameOf = ({ namespace, service }: Expiring): string => `${namespace}/${service}`;

  const forget = (key: string): void => {
    const known = all.get(key);
    if (!known) return;
    all.delete(key);
    const service = nameOf(known.instance);
    const of = byService.get(service);
    of?.keys.delete(key);
    of?.believed.delete(key);
    if (of?.keys.size === 0) byService.delete(service);
  };
  const forgetOld = (nowMs: number): void => {
    for (const [key, { atMs }] of all) {
      if (nowMs - atMs < windowMs) return;
      forget(key);
    }
  };
  return {
    note(instance, nowMs) {
      const { key } = instance;
      forget(key);
      all.set(key, { instance, atMs: nowMs });
      const service = nameOf(instance);
      const of = byService.get(service) ?? { keys: new Set(), believed: new Set() };
      of.keys.add(key);
      of.believed.add(key);
      byService.set(service, of);
    },
    forget,
    count(service, nowMs) {
      forgetOld(nowMs);
      return byService.get(service)?.keys.size ?? 0;
    },
    takeBack(service) {
      const believed = byService.get(service)?.believed;
      const taken = [...(believed ?? [])].flatMap((key) => all.get(key)?.instance ?? []);
      believed?.clear();
      return taken;
    },
  };
};

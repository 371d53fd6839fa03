/**
 * Leases for those who register at the shared store. Each has its own, which a heartbeat renews at next to no cost; where
 * very many come within a second the others of that second go with one lease together. Such a lease is never renewed nor
 * ended by anybody: who is heard of again moves to another, so that nobody's heartbeat keeps a dead one alive, and
 * nobody's end takes a living one with it.
 */
import type { Clock } from "@weft/core/world";
import type { SharedStore } from "../../store/shared/shared-store.ts";

/** What the record says of an instance whose lease is one of several's, instead of the lease. No lease has this id. */
export const ofSeveral = "0";

/** A lease that a record is to be written with. */
export interface TakenLease {
  readonly lease: string;
  /** What the record says: the lease where it is the instance's own. */
  readonly value: string;
}

export interface SharedLeases {
  take(ttlSeconds: number): Promise<TakenLease>;
}

/** How long a lease is given to more instances. */
const windowMs = 1_000;
/** Leases of one instance each that are given in that time. */
export const ownMax = 50;
/** A lease of several has so much more time: until the last of them is written. */
export const marginSeconds = 4;
/** Shorter ones are told by the second. */
const sharedTtlSecondsMin = 10;

interface Several {
  readonly lease: Promise<string>;
  readonly untilMs: number;
}

export const createSharedLeases = (store: Pick<SharedStore, "grant">, clock: Pick<Clock, "nowMs">): SharedLeases => {
  const several = new Map<number, Several>();
  let windowEndMs = Number.NEGATIVE_INFINITY;
  let owned = 0;

  const grantForSeveral = (ttlSeconds: number): Promise<string> => {
    const nowMs = clock.nowMs();
    const known = several.get(ttlSeconds);
    if (known && nowMs < known.untilMs) return known.lease;
    for (const [each, { untilMs }] of several) if (untilMs <= nowMs) several.delete(each);
    const lease = store.grant(ttlSeconds + marginSeconds);
    const made = { lease, untilMs: nowMs + windowMs };
    several.set(ttlSeconds, made);
    // The next asks again.
    lease.catch(() => void (several.get(ttlSeconds) === made && several.delete(ttlSeconds)));
    return lease;
  };

  return {
    async take(ttlSeconds) {
      const nowMs = clock.nowMs();
      if (nowMs >= windowEndMs) {
        windowEndMs = nowMs + windowMs;
        owned = 0;
      }
      if (ttlSeconds >= sharedTtlSecondsMin && owned >= ownMax) {
        return { lease: await grantForSeveral(ttlSeconds), value: ofSeveral };
      }
      owned++;
      const lease = await store.grant(ttlSeconds);
      return { lease, value: lease };
    },
  };
};

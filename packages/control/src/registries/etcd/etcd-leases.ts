/**
 * Whether a key that went with a lease was taken away or expired, which etcd's events do not say. Two things tell: a lease
 * that still lives did not take the key with it, and one that could not have ended yet was revoked. So when a key goes, its
 * lease is asked for, and those of the rest of its service: how long each has at least. Nothing is asked while nothing goes.
 */
import type { Clock } from "@weft/core/world";

/** Leases of one service that are asked for when one of its keys goes. */
export const askedAtOnceMax = 256;
/** Leases whose least end is remembered. */
export const endsMax = 20_000;

/** Gives the whole seconds that a lease has at least; below 0 where there is no such lease. */
export type AskLease = (lease: bigint) => Promise<number>;

export interface EtcdLeases {
  /** Leases by key, of a list: they take the place of all before. */
  listed(leases: ReadonlyMap<string, bigint>): void;
  /** The key was written, under this lease or with none (0). */
  put(key: string, lease: bigint): void;
  /** What can be said at once of a key that is gone; `taken` is called later where it turns out to be somebody's doing. */
  gone(key: string, lease: bigint, ask: AskLease): "deleted" | "expired";
}

export const createEtcdLeases = (clock: Pick<Clock, "nowMs">, taken: (key: string) => void): EtcdLeases => {
  const byKey = new Map<string, bigint>();
  const byService = new Map<string, Set<string>>();
  /** Before these no lease ends by itself. */
  const ends = new Map<bigint, number>();
  const asking = new Set<bigint>();
  /** Keys that are gone, by the lease that is asked for. */
  const doubtful = new Map<string, bigint>();

  const forget = (key: string): void => {
    if (!byKey.delete(key)) return;
    const keys = byService.get(serviceOf(key));
    keys?.delete(key);
    if (keys?.size === 0) byService.delete(serviceOf(key));
  };
  const put = (key: string, lease: bigint): void => {
    doubtful.delete(key);
    if (lease === 0n) {
      forget(key);
      return;
    }
    byKey.set(key, lease);
    const keys = byService.get(serviceOf(key)) ?? new Set();
    byService.set(serviceOf(key), keys.add(key));
  };
  const note = (lease: bigint, endsMs: number): void => {
    ends.delete(lease);
    ends.set(lease, endsMs);
    for (const [oldest] of ends) {
      if (ends.size <= endsMax) return;
      ends.delete(oldest);
    }
  };
  const ask = (lease: bigint, askLease: AskLease): void => {
    if (asking.has(lease)) return;
    asking.add(lease);
    const askedMs = clock.nowMs();
    const answered = (seconds: number): void => {
      asking.delete(lease);
      if (seconds > 0) note(lease, askedMs + seconds * 1_000);
      for (const [key, of] of [...doubtful]) {
        if (of !== lease) continue;
        doubtful.delete(key);
        if (seconds > 0) taken(key);
      }
    };
    askLease(lease).then(answered, () => answered(0));
  };
  const isEarly = (lease: bigint): boolean => clock.nowMs() < (ends.get(lease) ?? 0);
  const askOthers = (key: string, askLease: AskLease): void => {
    let asked = 0;
    for (const other of byService.get(serviceOf(key)) ?? []) {
      const lease = byKey.get(other) ?? 0n;
      if (isEarly(lease) || asking.has(lease)) continue;
      if (asked++ >= askedAtOnceMax) return;
      ask(lease, askLease);
    }
  };
  return {
    listed(leases) {
      byKey.clear();
      byService.clear();
      doubtful.clear();
      for (const [key, lease] of leases) put(key, lease);
    },
    put,
    gone(key, lease, askLease) {
      forget(key);
      const early = isEarly(lease);
      if (!early) {
        doubtful.set(key, lease);
        ask(lease, askLease);
      }
      askOthers(key, askLease);
      return early ? "deleted" : "expired";
    },
  };
};

/** What a key begins with to its last slash. */
const serviceOf = (key: string): string => key.slice(0, key.lastIndexOf("/"));

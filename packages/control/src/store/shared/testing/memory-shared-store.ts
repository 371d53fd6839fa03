/** A shared store in memory for tests: replicas of it see one order, can be cut off, and can be held behind. */
import { createSharedMirror, type SharedMirror } from "../shared-mirror.ts";
import { type SharedStore, storeUnavailable } from "../shared-store.ts";

export interface MemoryReplica extends SharedStore {
  /** From now on it hears of nothing and can write nothing; it has been so for that long. */
  cut(ageMs?: number): void;
  /** Hears of everything it missed. */
  mend(): void;
}

export interface MemoryShared {
  open(): MemoryReplica;
  /** Ends a lease with its records, as time would. */
  expire(lease: string): void;
  readonly records: ReadonlyMap<
    string,
    { readonly value: string; readonly revision: number; readonly lease?: string | undefined }
  >;
}

export const createMemoryShared = (): MemoryShared => {
  const records = new Map<string, { value: string; revision: number; lease?: string | undefined }>();
  const leases = new Set<string>();
  const mirrors = new Set<SharedMirror>();
  let revision = 1;
  let nextLease = 1;
  const tell = (
    changes: readonly { readonly key: string; readonly value?: string; readonly revision: number }[],
  ): void => {
    for (const mirror of mirrors) mirror.takeChanges(changes);
  };
  const list = () => ({
    clusterId: "memory",
    revision,
    records: [...records].map(([key, { value, revision: at }]) => ({ key, value, revision: at })),
  });
  const expire = (lease: string): void => {
    leases.delete(lease);
    const gone = [...records].filter(([, record]) => record.lease === lease).map(([key]) => key);
    if (gone.length === 0) return;
    revision++;
    for (const key of gone) records.delete(key);
    tell(gone.map((key) => ({ key, revision })));
  };

  const open = (): MemoryReplica => {
    const mirror = createSharedMirror(list());
    let cutMs = 0;
    mirrors.add(mirror);
    const reach = (): void => {
      if (!mirrors.has(mirror)) throw storeUnavailable("cut off");
    };
    return {
      get: mirror.get,
      group: mirror.group,
      revision: mirror.revision,
      follow: mirror.follow,
      appears: async (key) => mirror.get(key) !== undefined,
      cut: (ageMs = 0) => {
        cutMs = ageMs;
        mirrors.delete(mirror);
      },
      mend: () => {
        mirror.takeList(list());
        mirrors.add(mirror);
      },
      async write({ seen, puts = [], deletes = [] }) {
        reach();
        // What others write meanwhile comes first.
        await Promise.resolve();
        if (seen.some(({ key, revision: at }) => (records.get(key)?.revision ?? 0) !== at)) return { kind: "conflict" };
        if (puts.some(({ lease }) => lease !== undefined && !leases.has(lease))) return { kind: "conflict" };
        if (puts.length + deletes.length === 0) return { kind: "written", revision };
        revision++;
        for (const key of deletes) records.delete(key);
        for (const { key, value, lease } of puts) records.set(key, { value, revision, lease });
        tell([
          ...deletes.map((key) => ({ key, revision })),
          ...puts.map(({ key, value }) => ({ key, value, revision })),
        ]);
        return { kind: "written", revision };
      },
      async grant() {
        reach();
        const lease = String(nextLease++);
        leases.add(lease);
        return lease;
      },
      async renew(lease) {
        reach();
        return leases.has(lease);
      },
      revoke: async (lease) => expire(lease),
      status: () => {
        const connected = mirrors.has(mirror);
        return { connected, reason: "", ageMs: connected ? 0 : cutMs, revision: mirror.revision() };
      },
    };
  };
  return { open, expire, records };
};

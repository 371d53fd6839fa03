/** A shared store in memory for tests: replicas of it see one order, can be cut off, and can be held behind. */
import { type SetTimer, silentLogger } from "@weft/core/world";
import { createSharedMirror, type SharedMirror, type ToldChange } from "../shared-mirror.ts";
import { type SharedStore, storeUnavailable } from "../shared-store.ts";
import { createStamps, stamped } from "../stamps.ts";
import { createStoreMender } from "../write-back.ts";

export interface MemoryReplica extends SharedStore {
  /** From now on it hears of nothing and can write nothing; it has been so for that long. */
  cut(ageMs?: number): void;
  /** Hears of everything it missed, and writes back what the store has lost. */
  mend(): void;
}

export interface MemoryShared {
  open(): MemoryReplica;
  /** Ends a lease with its records, as time would. */
  expire(lease: string): void;
  /** A copy of it, which `putBack` puts in its place: whoever is not cut off hears nothing of that. */
  copy(): MemoryCopy;
  putBack(copy: MemoryCopy): void;
  readonly records: ReadonlyMap<
    string,
    { readonly value: string; readonly revision: number; readonly lease?: string | undefined }
  >;
}

export interface MemoryCopy {
  readonly records: ReadonlyMap<string, { value: string; revision: number; lease?: string | undefined }>;
  readonly leases: ReadonlySet<string>;
  /** Whatever was written. */
  readonly history: ReadonlySet<string>;
  readonly revision: number;
}

const wroteAs = (record: { readonly key: string; readonly value: string; readonly revision: number }): string =>
  `${record.revision} ${record.key} ${record.value}`;

/** `setTimer`: for what replicas wait for before they write; absent, that never comes. */
export const createMemoryShared = ({
  setTimer = () => ({ [Symbol.dispose]: () => {} }),
}: {
  readonly setTimer?: SetTimer;
} = {}): MemoryShared => {
  const records = new Map<string, { value: string; revision: number; lease?: string | undefined }>();
  const leases = new Set<string>();
  const history = new Set<string>();
  const mirrors = new Set<SharedMirror>();
  let revision = 1;
  let nextLease = 1;
  let nextMark = 1;
  const stamp = createStamps("memory");
  const tell = (changes: readonly ToldChange[]): void => {
    for (const mirror of mirrors) mirror.takeChanges(changes);
  };
  const list = () => ({
    clusterId: "memory",
    revision,
    records: [...records].map(([key, { value, revision: at, lease }]) => ({
      ...{ key, value, revision: at },
      leased: lease !== undefined,
    })),
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
    const write: SharedStore["write"] = async ({ seen, puts = [], deletes = [] }) => {
      reach();
      // What others write meanwhile comes first.
      await Promise.resolve();
      if (seen.some(({ key, revision: at }) => (records.get(key)?.revision ?? 0) !== at)) return { kind: "conflict" };
      if (puts.some(({ lease }) => lease !== undefined && !leases.has(lease))) return { kind: "conflict" };
      if (puts.length + deletes.length === 0) return { kind: "written", revision };
      revision++;
      for (const key of deletes) records.delete(key);
      const made = puts.map(({ isSame = false, ...put }) => ({
        ...put,
        value: isSame ? put.value : stamped(put, stamp),
      }));
      for (const { key, value, lease } of made) {
        records.set(key, { value, revision, lease });
        history.add(wroteAs({ key, value, revision }));
      }
      tell([
        ...deletes.map((key) => ({ key, revision })),
        ...made.map(({ key, value, lease }) => ({ key, value, revision, leased: lease !== undefined })),
      ]);
      return { kind: "written", revision };
    };
    const markId = (): string => String(nextMark++);
    const mender = createStoreMender({ mirror, write, markId, setTimer, log: silentLogger });
    let connection = 0;
    return {
      get: mirror.get,
      group: mirror.group,
      revision: mirror.revision,
      listedAt: mirror.listedAt,
      follow: mirror.follow,
      appears: async (key) => mirror.get(key) !== undefined,
      cut: (ageMs = 0) => {
        cutMs = ageMs;
        mirrors.delete(mirror);
      },
      mend: () => {
        const newest = mirror.newest();
        const isOther = newest !== undefined && newest.revision <= revision && !history.has(wroteAs(newest));
        mender.take({ ...list(), isOther });
        mirrors.add(mirror);
        const own = ++connection;
        void mender.mend(() => !mirrors.has(mirror) || own !== connection);
      },
      write,
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
  const copy = (): MemoryCopy => ({
    ...{ records: new Map(records), leases: new Set(leases), history: new Set(history), revision },
  });
  const putBack = (old: MemoryCopy): void => {
    records.clear();
    for (const [key, record] of old.records) records.set(key, record);
    leases.clear();
    for (const lease of old.leases) leases.add(lease);
    history.clear();
    for (const each of old.history) history.add(each);
    revision = old.revision;
  };
  return { open, expire, copy, putBack, records };
};

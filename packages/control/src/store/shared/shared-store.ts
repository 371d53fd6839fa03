/** What control planes of one mesh share: records that all replicas see in one order, changed by comparing first. */
import { HttpRefusal } from "@weft/net/http/server";
import type { SharedMirror, SharedRecord } from "./shared-mirror.ts";

export interface SharedPut {
  readonly key: string;
  readonly value: string;
  /** The record goes when this lease ends. */
  readonly lease?: string | undefined;
  /** It was written before and is again, as it was. */
  readonly isSame?: boolean;
}

export interface SharedWrite {
  /** Records that must be as they were seen: their revision, 0 where there was none. */
  readonly seen: readonly { readonly key: string; readonly revision: number }[];
  readonly puts?: readonly SharedPut[];
  readonly deletes?: readonly string[];
}

export type WriteOutcome =
  | { readonly kind: "written"; readonly revision: number }
  /** Somebody else was first; what they wrote is known here by now. */
  | { readonly kind: "conflict" };

export interface SharedStatus {
  readonly connected: boolean;
  /** Why not; empty while connected. */
  readonly reason: string;
  /** Since when, in milliseconds; 0 while connected. */
  readonly ageMs: number;
  readonly revision: number;
  /** Of a store that was found in an older state than it was known in. */
  readonly goneBack?: GoneBackCounts;
}

/** What happened since the start where the store had gone back. */
export interface GoneBackCounts {
  /** How often it was found so. */
  readonly times: number;
  /** Records written back. */
  readonly written: number;
  /** Records that others had written anew or taken away; what is in the store counts. */
  readonly overtaken: number;
  /** Records still to be written back. */
  readonly left: number;
  /** Records taken out that had come back though they were taken out before. */
  readonly takenOut: number;
}

export interface SharedStore extends Pick<SharedMirror, "get" | "group" | "revision" | "listedAt" | "follow"> {
  /**
   * All or nothing, and durable when it resolves; this replica sees it then. Rejects with 503 WF2202 while the store is
   * out of reach: then it may have been written or not.
   */
  write(change: SharedWrite): Promise<WriteOutcome>;
  /**
   * Waits a moment for a record that another replica may just have written; false: there is none. Costs the store nothing,
   * and where very many wait nobody else does.
   */
  appears(key: string): Promise<boolean>;
  /** A lease of at least so many seconds. */
  grant(ttlSeconds: number): Promise<string>;
  /** Gives a lease its whole time again; false: it is over. */
  renew(lease: string): Promise<boolean>;
  /** Ends a lease, with the records that go with it. Never rejects: a lease ends by itself. */
  revoke(lease: string): Promise<void>;
  status(): SharedStatus;
}

/** Records that one write may touch: etcd takes 128 operations in a transaction. */
export const recordsPerWriteMax = 100;

/** How long who was refused should wait. */
const retryAfterSeconds = 2;

/** The refusal of a change while the shared store cannot take it: reading goes on. */
export const storeUnavailable = (reason: string): HttpRefusal =>
  new HttpRefusal(503, "WF2202", `the shared store cannot take changes now: ${reason}`, {
    next: "try again, or ask another replica; what was there before stays in force",
    retryAfterSeconds,
  });

/** So often a change is made anew because others were first, before it is given up with 503. */
const attemptsMax = 12;

/**
 * Makes a change from what is known and writes it, anew whenever somebody else was first. `make` gives the write and what
 * the caller is to be told, or `undefined` to be asked again; it throws to refuse.
 */
export const writeUntilDone = async <T>(
  store: Pick<SharedStore, "write">,
  make: () => { readonly write: SharedWrite | undefined; readonly result: T },
): Promise<T> => {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { write, result } = make();
    if (write === undefined) return result;
    const outcome = await store.write(write);
    if (outcome.kind === "written") return result;
  }
  throw storeUnavailable("other replicas change the same records without end");
};

/** How a record is to be seen by a write: as it is known. */
export const asSeen = (store: Pick<SharedStore, "get">, key: string): { key: string; revision: number } => ({
  key,
  revision: store.get(key)?.revision ?? 0,
});

/** The record is as the present connection found it; nobody is known to have written it since. False while there is none. */
export const isOfBefore = (store: Pick<SharedStore, "get" | "listedAt" | "status">, key: string): boolean => {
  const record = store.get(key);
  return record !== undefined && record.revision <= store.listedAt() && store.status().connected;
};

/** The record's value as JSON; `undefined` where it is none. */
export const jsonOf = (record: SharedRecord): unknown => {
  try {
    return JSON.parse(record.value);
  } catch {
    return undefined;
  }
};

/**
 * A shared store that has gone back: a copy of another day was put in its place. What a replica knows is newer then, and
 * stays until it is in the store again. Pure.
 */
import type { SharedList, SharedRecord } from "./shared-mirror.ts";

/** What a replica leaves in the store when all that it knew is back there. */
export interface RepairMark {
  /** Everything that the store had told up to here, before it went back, is in it again or was deleted since. */
  readonly knownTo: number;
  /** Of the mark itself: what has a later one was written when all was back. */
  readonly revision: number;
}

export const repairedKey = "store/repaired";

/** Written with whatever is taken out because it came back: how far the one knew who took it out. */
export const sweptKey = "store/swept";

/** `id` tells it from any other; `from` is the revision at which the store was found. */
export const formatMark = (mark: { readonly knownTo: number; readonly from: number; readonly id: string }): string =>
  JSON.stringify(mark);

/** `undefined` for what nobody of this version wrote. */
export const markIn = (record: SharedRecord | undefined): RepairMark | undefined => {
  const knownTo = knownToIn(record?.value);
  return record && knownTo !== undefined ? { knownTo, revision: record.revision } : undefined;
};

/** How far the one knew who wrote this; `undefined` for what nobody of this version wrote. */
export const knownToIn = (value: string | undefined): number | undefined => {
  try {
    const { knownTo } = (JSON.parse(value ?? "null") ?? {}) as { knownTo?: unknown };
    return typeof knownTo === "number" ? knownTo : undefined;
  } catch {
    return undefined;
  }
};

/** Groups whose records end with a lease, for records of which it was not kept whether they do. */
const leasedGroups: ReadonlySet<string> = new Set([
  "alive",
  "ended",
  "health",
  "judged",
  "proxies",
  "replicas",
  "tokens",
]);

/** It ends by itself, so its absence says nothing of the store, and it is never written back. */
export const isLeased = ({ key, leased }: SharedRecord): boolean =>
  leased ?? leasedGroups.has(key.slice(0, key.indexOf("/")));

/**
 * Whether a list is of an older store than `known`, or of another cluster: revisions only ever grow in one, and all that
 * was written up to the known one is known.
 */
export const isOlder = (
  known: Omit<SharedList, "records"> & { get(key: string): SharedRecord | undefined },
  list: SharedList,
): boolean =>
  list.revision < known.revision ||
  (known.clusterId !== "" && list.clusterId !== known.clusterId) ||
  list.records.some(({ key, revision }) => {
    const was = known.get(key)?.revision ?? 0;
    return revision < was || (!known.isPart && revision <= known.revision && revision !== was);
  });

/** Whether a record as it is known here stays although the list has none, or another; `mark`: of who was first. */
export const isKept = (known: SharedRecord, there: SharedRecord | undefined, mark: RepairMark | undefined): boolean => {
  if (known.key === repairedKey || known.key === sweptKey || isLeased(known)) return false;
  if (mark && known.revision <= mark.knownTo) return false;
  if (!there) return true;
  // Who was first may have written back an older one, at the latest with the mark.
  const isOlderThere = mark ? there.revision <= mark.revision : there.revision < known.revision;
  return isOlderThere && there.value !== known.value;
};

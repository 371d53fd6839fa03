import type { SnapshotEntry } from "./snapshot.ts";
import type { TypeState } from "./type-state.ts";

/** Fewer clusters are gone through sooner than found. */
const rememberedMin = 8;
const known = new WeakMap<readonly SnapshotEntry[], readonly string[]>();

/** What clusters ask their endpoints by; the same list for the same clusters, as those are that many streams are sent. */
export const endpointsNamesOf = (clusters: readonly SnapshotEntry[]): readonly string[] => {
  const found = known.get(clusters);
  if (found) return found;
  const names = clusters.flatMap(({ endpointsName }) => endpointsName ?? []);
  if (clusters.length >= rememberedMin) known.set(clusters, names);
  return names;
};

/** More lists than these become one. */
const listsMax = 8;

/** Endpoints of clusters that were sent on a stream before it asked for any: they are sent even if equal. */
export class AwaitedEndpoints {
  #lists: readonly (readonly string[])[] = [];

  /** The list is kept as it is: many streams have the same. */
  add(names: readonly string[]): void {
    if (names.length === 0) return;
    const lists = [...this.#lists, names];
    this.#lists = lists.length > listsMax ? [[...new Set(lists.flat())]] : lists;
  }

  /** Those that it asks for are owed; none is awaited any more. */
  oweTo(endpoints: TypeState): void {
    if (!endpoints.owesAll) {
      for (const names of this.#lists) for (const name of names) if (endpoints.covers(name)) endpoints.owed.add(name);
    }
    this.#lists = [];
  }
}

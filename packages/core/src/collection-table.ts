/** The part that every collection of a graph shares: committed items, indexes over them, changes of this commit, watchers. */
import type { Change, Collection, Equal, Index, Keyed } from "./collection.ts";
import { KeySets } from "./key-sets.ts";

/** An index as its owner maintains it. */
export interface LiveIndex<T extends Keyed> extends Index<T> {
  readonly keysOf: (item: T) => readonly string[];
  apply(change: Change<T>): void;
}

export interface Table<T extends Keyed> {
  readonly collection: TableCollection<T>;
  /** Writes one item; an equal item is no change and the old object stays. */
  set(key: string, after: T | undefined): void;
  /** Ends the commit for this collection: changes are final, so watchers may be told. */
  publish(): void;
}

export interface TableCollection<T extends Keyed> extends Collection<T> {
  readonly depth: number;
  readonly table: ReadonlyMap<string, T>;
  /** Net changes of the commit that runs now; empty before this collection settled. */
  changes(): ReadonlyMap<string, Change<T>>;
}

/** One index: bucket → keys of the items in it. */
const createIndex = <T extends Keyed>(
  of: TableCollection<T>,
  name: string,
  keysOf: (item: T) => readonly string[],
): LiveIndex<T> => {
  const buckets = new KeySets();
  const distinct = (item: T): readonly string[] => {
    const keys = keysOf(item);
    return keys.length < 2 ? keys : [...new Set(keys)];
  };
  const apply = ({ key, before, after }: Change<T>): void => {
    const old = before ? distinct(before) : none;
    const now = after ? distinct(after) : none;
    if (sameKeys(old, now)) return;
    for (const bucket of old) buckets.delete(bucket, key);
    for (const bucket of now) buckets.add(bucket, key);
  };
  for (const [key, item] of of.table) apply({ key, before: undefined, after: item });
  return {
    of,
    name,
    keysOf: distinct,
    apply,
    keys: () => buckets.keys(),
    lookup: (bucket) => buckets.members(bucket).map((key) => of.table.get(key) as T),
  };
};

const none: readonly string[] = [];

const sameKeys = (a: readonly string[], b: readonly string[]): boolean => {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
};

export const createTable = <T extends Keyed>(name: string, depth: number, equal: Equal<T>): Table<T> => {
  const items = new Map<string, T>();
  const indexes = new Map<string, LiveIndex<T>>();
  const watchers = new Set<(changes: readonly Change<T>[]) => void>();
  let changes = new Map<string, Change<T>>();

  const collection: TableCollection<T> = {
    name,
    depth,
    table: items,
    changes: () => changes,
    get size() {
      return items.size;
    },
    get: (key) => items.get(key),
    values: () => items.values(),
    index(indexName, keysOf) {
      const known = indexes.get(indexName);
      if (known) return known;
      const index = createIndex(collection, indexName, keysOf);
      indexes.set(indexName, index);
      return index;
    },
    watch(handler) {
      watchers.add(handler);
      return { [Symbol.dispose]: () => void watchers.delete(handler) };
    },
  };

  return {
    collection,
    set(key, after) {
      const before = items.get(key);
      if (before === after || (before && after && equal(before, after))) return;
      if (after) items.set(key, after);
      else items.delete(key);
      for (const index of indexes.values()) index.apply({ key, before, after });
      const first = changes.get(key);
      changes.set(key, { key, before: first ? first.before : before, after });
    },
    publish() {
      if (changes.size === 0) return;
      const told = [...changes.values()];
      changes = new Map();
      for (const tell of watchers) tell(told);
    },
  };
};

/**
 * Collections that keep themselves up to date. Sources are written to; a derived collection is a pure rule over
 * others and reruns only for the items whose inputs changed. Writes wait until `commit()`; when it returns, everything
 * derived is current and each watcher has been told once, so nobody ever sees half a change.
 */
import { createDerived, type DerivedNode, type RuleInput } from "./collection-derived.ts";
import { createTable, type LiveIndex, type TableCollection } from "./collection-table.ts";
import { sameValue } from "./equal.ts";

export interface Keyed {
  readonly key: string;
}

export interface Change<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** Are two versions of an item the same to every reader? Items that carry a hash or a version can compare just that. */
export type Equal<T> = (before: T, after: T) => boolean;

export interface Collection<T extends Keyed> {
  readonly name: string;
  readonly size: number;
  get(key: string): T | undefined;
  values(): Iterable<T>;
  /** A lookup by other keys than the item's own, kept up to date. The same name gives the same index. */
  index(name: string, keysOf: (item: T) => readonly string[]): Index<T>;
  /** Told once per commit that changed something, after everything has settled. May write, not commit. */
  watch(handler: (changes: readonly Change<T>[]) => void): Disposable;
}

export interface Source<T extends Keyed> extends Collection<T> {
  /** Takes effect at the next commit, as do `drop` and `reset`. */
  put(item: T): void;
  drop(key: string): void;
  /** Replaces the whole content: what is not in `items` is dropped. */
  reset(items: Iterable<T>): void;
}

export interface Index<T extends Keyed> {
  readonly name: string;
  readonly of: Collection<T>;
  keys(): Iterable<string>;
  /** Items of a bucket in the order of their keys. */
  lookup(bucket: string): readonly T[];
}

/** Reads inside a rule; what they read is what the rule reruns for. */
export interface Fetch {
  get<T extends Keyed>(from: Collection<T>, key: string): T | undefined;
  where<T extends Keyed>(index: Index<T>, bucket: string): readonly T[];
  /** Every item in key order: the rule reruns for any change of that collection. */
  all<T extends Keyed>(from: Collection<T>): readonly T[];
}

export interface RuleFailure {
  readonly collection: string;
  readonly key: string;
  readonly error: unknown;
}

export interface CommitReport {
  readonly changed: boolean;
  /** Rules that threw: their last good outputs stay. */
  readonly failures: readonly RuleFailure[];
}

export interface Graph {
  source<T extends Keyed>(name: string, options?: { readonly equal?: Equal<T> }): Source<T>;
  /** One run of the rule per item of `from`; it may give none, one or several items. */
  derive<I extends Keyed, O extends Keyed>(
    name: string,
    from: Collection<I>,
    rule: (item: I, fetch: Fetch) => O | readonly O[] | undefined,
    options?: { readonly equal?: Equal<O> },
  ): Collection<O>;
  /** One run of the rule per bucket of an index that has members. */
  group<I extends Keyed, O extends Keyed>(
    name: string,
    by: Index<I>,
    rule: (bucket: string, members: readonly I[], fetch: Fetch) => O | readonly O[] | undefined,
    options?: { readonly equal?: Equal<O> },
  ): Collection<O>;
  /** All items of several collections; where two have the same key, the earlier collection's item is seen. */
  union<T extends Keyed>(name: string, of: readonly Collection<T>[]): Collection<T>;
  /** Applies all writes since the last commit and settles everything derived. Not callable from a rule or a watcher. */
  commit(): CommitReport;
  /** Per collection, in the order of settling: its size and, where derived, how often its rule ran. */
  stats(): readonly { readonly name: string; readonly size: number; readonly reruns: number }[];
}

interface Node {
  readonly collection: Collection<Keyed>;
  settle(failures: RuleFailure[]): void;
  changed(): boolean;
  publish(): void;
  readonly reruns: () => number;
}

/** A graph settles its nodes in the order they were made; a rule can read only what was made before it. */
export const createGraph = (): Graph => {
  const nodes: Node[] = [];
  let committing = false;

  const append = <T extends Keyed>(
    name: string,
    equal: Equal<T> | undefined,
    attach: (table: ReturnType<typeof createTable<T>>) => DerivedNode,
  ): TableCollection<T> => {
    if (committing) throw new Error(`collection ${name} made inside a commit`);
    const table = createTable<T>(name, nodes.length, equal ?? sameValue);
    const derived = attach(table);
    nodes.push({
      collection: table.collection as unknown as Collection<Keyed>,
      settle: derived.settle,
      reruns: derived.reruns,
      changed: () => table.collection.changes().size > 0,
      publish: table.publish,
    });
    return table.collection;
  };

  return {
    source<T extends Keyed>(name: string, options: { readonly equal?: Equal<T> } = {}): Source<T> {
      let pending = new Map<string, T | undefined>();
      const collection = append<T>(name, options.equal, (table) => ({
        reruns: () => 0,
        settle() {
          if (pending.size === 0) return;
          const writes = pending;
          pending = new Map();
          for (const [key, item] of writes) table.set(key, item);
        },
      }));
      const source: Source<T> = Object.create(collection, {
        put: { value: (item: T) => void pending.set(item.key, item) },
        drop: { value: (key: string) => void pending.set(key, undefined) },
        reset: {
          value: (items: Iterable<T>) => {
            pending = new Map();
            for (const key of collection.table.keys()) pending.set(key, undefined);
            for (const item of items) pending.set(item.key, item);
          },
        },
      });
      return source;
    },

    derive(name, from, rule, options = {}) {
      const of = from as unknown as TableCollection<Keyed>;
      const input: RuleInput<Keyed> = {
        of,
        keys: () => of.table.keys(),
        keysOf: ({ key }) => [key],
        run: (key, fetch) => {
          const item = from.get(key);
          return item && rule(item, fetch);
        },
      };
      return append(name, options.equal, (table) => createDerived(table, input as unknown as RuleInput<never>));
    },

    group(name, by, rule, options = {}) {
      const index = by as unknown as LiveIndex<Keyed>;
      const input: RuleInput<Keyed> = {
        of: index.of as TableCollection<Keyed>,
        keys: () => index.keys(),
        keysOf: ({ before, after }) => [...(before ? index.keysOf(before) : []), ...(after ? index.keysOf(after) : [])],
        run: (bucket, fetch) => {
          const members = by.lookup(bucket);
          return members.length === 0 ? undefined : rule(bucket, members, fetch);
        },
      };
      return append(name, options.equal, (table) => createDerived(table, input as unknown as RuleInput<never>));
    },

    union<T extends Keyed>(name: string, of: readonly Collection<T>[]): Collection<T> {
      const tables = of as readonly TableCollection<T>[];
      let first = true;
      return append<T>(name, Object.is, (table) => ({
        reruns: () => 0,
        settle() {
          for (const part of tables) {
            for (const key of first ? part.table.keys() : part.changes().keys()) {
              table.set(key, tables.find((other) => other.table.has(key))?.get(key));
            }
          }
          first = false;
        },
      }));
    },

    commit() {
      if (committing) throw new Error("commit inside a commit");
      committing = true;
      const failures: RuleFailure[] = [];
      let changed = false;
      try {
        for (const node of nodes) {
          node.settle(failures);
          changed ||= node.changed();
        }
        for (const node of nodes) node.publish();
      } finally {
        committing = false;
      }
      return { changed, failures };
    },

    stats: () =>
      nodes.map(({ collection, reruns }) => ({ name: collection.name, size: collection.size, reruns: reruns() })),
  };
};

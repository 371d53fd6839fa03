/** A collection computed by a rule from others: which inputs are stale, what each run read, who owns each output. */
import type { Change, Collection, Fetch, Index, Keyed, RuleFailure } from "./collection.ts";
import type { LiveIndex, Table, TableCollection } from "./collection-table.ts";

type Readers = Map<string, Set<string>>;

/** Where a derived collection takes its rule keys from: items of a collection, or buckets of an index. */
export interface RuleInput<O extends Keyed> {
  readonly of: TableCollection<Keyed>;
  keys(): Iterable<string>;
  keysOf(change: Change<Keyed>): Iterable<string>;
  /** Runs the rule; `undefined` when the input is gone. */
  run(key: string, fetch: Fetch): O | readonly O[] | undefined;
}

export interface DerivedNode {
  settle(failures: RuleFailure[]): void;
  readonly reruns: () => number;
}

/** One place where a run is noted as a reader, so that it can be taken out again. */
interface Held {
  readonly readers: Readers;
  readonly token: string;
}

const obtain = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
};

const add = (readers: Readers, token: string, reader: string, mine: Held[]): void => {
  const set = obtain(readers, token, () => new Set<string>());
  if (set.has(reader)) return;
  set.add(reader);
  mine.push({ readers, token });
};

/** What the runs of one node read, by collection and by index, so that a change finds its readers directly. */
const createReads = (depth: number, name: string) => {
  const byKey = new Map<TableCollection<Keyed>, Readers>();
  const byBucket = new Map<LiveIndex<Keyed>, Readers>();
  const whole = new Map<TableCollection<Keyed>, Readers>();
  const held = new Map<string, readonly Held[]>();

  const table = <T extends Keyed>(collection: Collection<T>): TableCollection<Keyed> => {
    const found = collection as unknown as TableCollection<Keyed>;
    if (found.depth >= depth) throw new Error(`${name} reads ${found.name}, which comes after it`);
    return found;
  };
  const readersOf = <K>(map: Map<K, Readers>, of: K): Readers => obtain(map, of, () => new Map());

  return {
    check: table,
    forget(reader: string): void {
      for (const { readers, token } of held.get(reader) ?? []) {
        const set = readers.get(token);
        set?.delete(reader);
        if (set?.size === 0) readers.delete(token);
      }
      held.delete(reader);
    },
    fetchFor(reader: string): Fetch {
      const mine: Held[] = [];
      held.set(reader, mine);
      return {
        get(from, key) {
          add(readersOf(byKey, table(from)), key, reader, mine);
          return from.get(key);
        },
        where<T extends Keyed>(index: Index<T>, bucket: string) {
          table(index.of);
          add(readersOf(byBucket, index as unknown as LiveIndex<Keyed>), bucket, reader, mine);
          return index.lookup(bucket);
        },
        all(from) {
          add(readersOf(whole, table(from)), "", reader, mine);
          return [...from.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
        },
      };
    },
    /** Adds to `dirty` every run that read something which changed in this commit. */
    collect(dirty: Set<string>): void {
      const mark = (readers: ReadonlySet<string> | undefined): void => {
        if (readers) for (const reader of readers) dirty.add(reader);
      };
      for (const [of, readers] of whole) if (of.changes().size > 0) mark(readers.get(""));
      for (const [of, readers] of byKey) for (const key of of.changes().keys()) mark(readers.get(key));
      for (const [index, readers] of byBucket) {
        for (const { before, after } of (index.of as TableCollection<Keyed>).changes().values()) {
          if (before) for (const bucket of index.keysOf(before)) mark(readers.get(bucket));
          if (after) for (const bucket of index.keysOf(after)) mark(readers.get(bucket));
        }
      }
    },
  };
};

/**
 * Runs the rule for what is stale, once per commit. Two runs that give the same output key: the lower rule key has it,
 * whatever the order they came in. A run that throws keeps its last outputs and is told as a failure.
 */
export const createDerived = <O extends Keyed>(table: Table<O>, input: RuleInput<O>): DerivedNode => {
  const { depth, name } = table.collection;
  const reads = createReads(depth, name);
  reads.check(input.of);
  const outputs = new Map<string, readonly O[]>();
  const claims = new Map<string, Set<string>>();
  let stale = new Set<string>(input.keys());
  let reruns = 0;

  const run = (key: string, failures: RuleFailure[]): readonly O[] | undefined => {
    reads.forget(key);
    reruns++;
    try {
      const result = input.run(key, reads.fetchFor(key));
      if (result === undefined) return [];
      return Array.isArray(result) ? result : [result as O];
    } catch (error) {
      failures.push({ collection: name, key, error });
      return undefined;
    }
  };

  const winner = (outputKey: string): O | undefined => {
    const claimants = claims.get(outputKey);
    if (!claimants) return undefined;
    let least: string | undefined;
    for (const claimant of claimants) if (least === undefined || claimant < least) least = claimant;
    return outputs.get(least as string)?.find((item) => item.key === outputKey);
  };

  const update = (key: string, results: readonly O[]): void => {
    const touched = new Set<string>();
    for (const { key: outputKey } of outputs.get(key) ?? []) {
      touched.add(outputKey);
      const claimants = claims.get(outputKey);
      claimants?.delete(key);
      if (claimants?.size === 0) claims.delete(outputKey);
    }
    for (const { key: outputKey } of results) {
      touched.add(outputKey);
      const claimants = claims.get(outputKey);
      if (claimants) claimants.add(key);
      else claims.set(outputKey, new Set([key]));
    }
    if (results.length > 0) outputs.set(key, results);
    else outputs.delete(key);
    for (const outputKey of touched) table.set(outputKey, winner(outputKey));
  };

  return {
    reruns: () => reruns,
    settle(failures) {
      for (const change of input.of.changes().values()) for (const key of input.keysOf(change)) stale.add(key);
      reads.collect(stale);
      if (stale.size === 0) return;
      const dirty = stale;
      stale = new Set();
      for (const key of dirty) {
        const results = run(key, failures);
        if (results) update(key, results);
      }
    },
  };
};

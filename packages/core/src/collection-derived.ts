/** A collection computed by a rule from others: which inputs are stale, what each run read, who owns each output. */
import type { Change, Collection, Fetch, Index, Keyed, RuleFailure } from "./collection.ts";
import type { LiveIndex, Table, TableCollection } from "./collection-table.ts";
import { KeySets } from "./key-sets.ts";

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
  readonly readers: KeySets;
  readonly token: string;
}

const readersOf = <K>(map: Map<K, KeySets>, of: K): KeySets => {
  const found = map.get(of);
  if (found) return found;
  const made = new KeySets();
  map.set(of, made);
  return made;
};

/** What the runs of one node read, by collection and by index, so that a change finds its readers directly. */
const createReads = (depth: number, name: string) => {
  const byKey = new Map<TableCollection<Keyed>, KeySets>();
  const byBucket = new Map<LiveIndex<Keyed>, KeySets>();
  const whole = new Map<TableCollection<Keyed>, KeySets>();
  const held = new Map<string, readonly Held[]>();
  /** The run that reads now; runs never overlap. */
  let reader = "";
  let mine: Held[] = [];

  const table = <T extends Keyed>(collection: Collection<T>): TableCollection<Keyed> => {
    const found = collection as unknown as TableCollection<Keyed>;
    if (found.depth >= depth) throw new Error(`${name} reads ${found.name}, which comes after it`);
    return found;
  };
  const note = (readers: KeySets, token: string): void => {
    if (readers.add(token, reader)) mine.push({ readers, token });
  };
  const fetch: Fetch = {
    get(from, key) {
      note(readersOf(byKey, table(from)), key);
      return from.get(key);
    },
    where<T extends Keyed>(index: Index<T>, bucket: string) {
      table(index.of);
      note(readersOf(byBucket, index as unknown as LiveIndex<Keyed>), bucket);
      return index.lookup(bucket);
    },
    all(from) {
      note(readersOf(whole, table(from)), "");
      return [...from.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };

  return {
    check: table,
    /** Runs `rule`, and notes what it reads as read by `key`, in place of what `key` read before. */
    run<R>(key: string, rule: (fetch: Fetch) => R): R {
      for (const { readers, token } of held.get(key) ?? none) readers.delete(token, key);
      reader = key;
      mine = [];
      try {
        return rule(fetch);
      } finally {
        if (mine.length > 0) held.set(key, mine);
        else held.delete(key);
      }
    },
    /** Adds to `dirty` every run that read something which changed in this commit. */
    collect(dirty: Set<string>): void {
      const mark = (readers: KeySets, token: string): void => {
        for (const key of readers.members(token)) dirty.add(key);
      };
      for (const [of, readers] of whole) if (of.changes().size > 0) mark(readers, "");
      for (const [of, readers] of byKey) for (const key of of.changes().keys()) mark(readers, key);
      for (const [index, readers] of byBucket) {
        for (const { before, after } of (index.of as TableCollection<Keyed>).changes().values()) {
          if (before) for (const bucket of index.keysOf(before)) mark(readers, bucket);
          if (after) for (const bucket of index.keysOf(after)) mark(readers, bucket);
        }
      }
    },
  };
};

const none: readonly never[] = [];

/**
 * Runs the rule for what is stale, once per commit. Two runs that give the same output key: the lower rule key has it,
 * whatever the order they came in. A run that throws keeps its last outputs and is told as a failure.
 */
export const createDerived = <O extends Keyed>(table: Table<O>, input: RuleInput<O>): DerivedNode => {
  const { depth, name } = table.collection;
  const reads = createReads(depth, name);
  reads.check(input.of);
  /** Of each run: an item where it gave one, which is the most common, else a list. */
  const outputs = new Map<string, O | readonly O[]>();
  const claims = new KeySets();
  let stale = new Set<string>(input.keys());
  let reruns = 0;

  const run = (key: string, failures: RuleFailure[]): O | readonly O[] | undefined => {
    reruns++;
    try {
      const result = reads.run(key, (fetch) => input.run(key, fetch)) ?? none;
      return Array.isArray(result) && result.length === 1 ? (result[0] as O) : result;
    } catch (error) {
      failures.push({ collection: name, key, error });
      return undefined;
    }
  };

  const listOf = (result: O | readonly O[] | undefined): readonly O[] =>
    result === undefined ? none : Array.isArray(result) ? result : [result as O];

  const winner = (outputKey: string): O | undefined => {
    const least = claims.first(outputKey);
    return least === undefined ? undefined : listOf(outputs.get(least)).find((item) => item.key === outputKey);
  };

  /** True where the run gives one item now as before, and nobody else gives it. */
  const updateOne = (key: string, before: O | readonly O[] | undefined, result: O | readonly O[]): boolean => {
    if (before === undefined || Array.isArray(before) || Array.isArray(result)) return false;
    const item = result as O;
    if ((before as O).key !== item.key || claims.members(item.key).length !== 1) return false;
    table.set(item.key, item);
    // Where both are equal the former object stayed, and the new one need not be held.
    outputs.set(key, table.collection.get(item.key) ?? item);
    return true;
  };

  const update = (key: string, result: O | readonly O[]): void => {
    const before = outputs.get(key);
    if (updateOne(key, before, result)) return;
    const results = listOf(result);
    const touched = new Set<string>();
    for (const { key: outputKey } of listOf(before)) {
      touched.add(outputKey);
      claims.delete(outputKey, key);
    }
    for (const { key: outputKey } of results) {
      touched.add(outputKey);
      claims.add(outputKey, key);
    }
    if (results.length > 0) outputs.set(key, result);
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

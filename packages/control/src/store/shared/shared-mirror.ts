/** The shared store as this replica knows it: every record under the prefix, and how far the store was followed. Pure. */
import { isKept, isOlder, knownToIn, markIn, repairedKey, sweptKey } from "./gone-back.ts";
import { createReturned, type Returned } from "./returned.ts";

export interface SharedRecord {
  /** Without the prefix: GROUP/NAME. */
  readonly key: string;
  readonly value: string;
  /** Of the store, when the record was last written; of a record that is to be written back, as the store has it now. */
  readonly revision: number;
  /** It goes when its lease ends; absent: not known. */
  readonly leased?: boolean;
}

export interface SharedChange {
  readonly key: string;
  readonly before: SharedRecord | undefined;
  readonly after: SharedRecord | undefined;
  /** Of the change itself, also where it is a deletion. */
  readonly revision: number;
  /** It was found when the store was read again: when it happened nobody here listened. */
  readonly missed?: true;
}

export interface SharedList {
  readonly clusterId: string;
  readonly revision: number;
  readonly records: readonly SharedRecord[];
  /** The store's history is not the one that is known here: it has gone back, however far it has come since. */
  readonly isOther?: boolean;
  /** Some of it could not be read: a record that is not in it may have been there. */
  readonly isPart?: boolean;
}

/** A change as the store tells it: without a value it is a deletion. */
export interface ToldChange {
  readonly key: string;
  readonly value?: string;
  readonly revision: number;
  readonly leased?: boolean;
}

/** What a store that has gone back lacks. */
export interface Repair {
  /** How far the store was known before it went back. */
  readonly knownTo: number;
  /** The store's own, when that was found. */
  readonly revision: number;
  /** By key, as they are now. */
  readonly lacking: ReadonlyMap<string, Lacking>;
}

export interface Lacking {
  /** As the store told of it before it went back. */
  readonly known: SharedRecord;
  /** What is to be written back; its revision is the one the store has, 0 where it has none. */
  readonly kept: SharedRecord;
  /** What the store has instead. */
  readonly there: SharedRecord | undefined;
}

export interface SharedMirror {
  get(key: string): SharedRecord | undefined;
  /** Records whose key begins with GROUP/, by key. */
  group(name: string): ReadonlyMap<string, SharedRecord>;
  /** The one that was written last, as the store told it; each store of the same history had it then. */
  newest(): SharedRecord | undefined;
  /** Everything up to here is known. */
  revision(): number;
  /** The store's, when it was read last: what has a later one was written since, as it is watched from here. */
  listedAt(): number;
  clusterId(): string;
  /**
   * Takes the whole of the store; what is not in it is gone. Of a store that has gone back what is newer here stays, and is
   * to be written back.
   */
  takeList(list: SharedList): void;
  /** Takes changes in their order; those that are known already are passed over. */
  takeChanges(changes: readonly ToldChange[]): void;
  /** `undefined` when the store lacks nothing, and says so itself. */
  repair(): Repair | undefined;
  /** What came back with an older state though its end was told here. */
  readonly returned: Pick<Returned, "all" | "accept">;
  /** Calls for the changes of a group, all those of one message together. */
  follow(group: string, tell: (changes: readonly SharedChange[]) => void): Disposable;
  /** Calls once for each change of any group. */
  onChange(tell: (change: SharedChange) => void): void;
  /** Resolves when the condition holds, which is looked at after each message; disposed it is forgotten. */
  when(condition: () => boolean): { readonly held: Promise<void> } & Disposable;
}

const none: ReadonlyMap<string, SharedRecord> = new Map();

const groupOf = (key: string): string => key.slice(0, Math.max(0, key.indexOf("/")));

export const createSharedMirror = (last?: SharedList): SharedMirror => {
  const groups = new Map<string, Map<string, SharedRecord>>();
  const followers = new Map<string, Set<(changes: readonly SharedChange[]) => void>>();
  const listeners: ((change: SharedChange) => void)[] = [];
  const waiting = new Set<{ readonly condition: () => boolean; readonly resolve: () => void }>();
  const lacking = new Map<string, Lacking>();
  const returned = createReturned();
  let back: Pick<Repair, "knownTo" | "revision"> | undefined;
  let revision = last?.revision ?? 0;
  let clusterId = last?.clusterId ?? "";
  let listedAt = revision;
  let isPart = last?.isPart === true;

  const get = (key: string): SharedRecord | undefined => groups.get(groupOf(key))?.get(key);
  const set = (key: string, after: SharedRecord | undefined): SharedRecord | undefined => {
    const name = groupOf(key);
    const records = groups.get(name) ?? new Map<string, SharedRecord>();
    const before = records.get(key);
    if (after) groups.set(name, records.set(key, after));
    else records.delete(key);
    return before;
  };
  for (const record of last?.records ?? []) set(record.key, record);

  const release = (): void => {
    for (const one of waiting) {
      if (!one.condition()) continue;
      waiting.delete(one);
      one.resolve();
    }
  };
  const tellAll = (changes: readonly SharedChange[]): void => {
    for (const change of changes) for (const tell of listeners) tell(change);
    for (const [name, own] of Map.groupBy(changes, ({ key }) => groupOf(key)))
      for (const tell of followers.get(name) ?? []) tell(own);
  };
  /** Another replica has written back what it knew up to there: what the store still lacks of that was deleted. */
  const takeMark = (): readonly SharedChange[] => {
    const mark = markIn(get(repairedKey));
    if (!mark || !back) return [];
    const changes: SharedChange[] = [];
    for (const [key, { known, there }] of lacking) {
      if (known.revision > mark.knownTo) continue;
      lacking.delete(key);
      changes.push({ key, before: set(key, there), after: there, revision: there?.revision ?? revision, missed: true });
    }
    if (mark.knownTo >= back.knownTo) back = undefined;
    return changes;
  };

  /** Who took it out as one that came back knew less of it than is known here: the store lacks it now. */
  const isLeft = (key: string, sweptTo: number | undefined): boolean => {
    const open = lacking.get(key);
    if (!open || sweptTo === undefined || open.known.revision <= sweptTo) return false;
    const kept = { ...open.known, revision: 0 };
    lacking.set(key, { known: open.known, kept, there: undefined });
    set(key, kept);
    return true;
  };

  return {
    get,
    group: (name) => groups.get(name) ?? none,
    newest() {
      let newest: SharedRecord | undefined;
      for (const records of groups.values())
        for (const [key, record] of records)
          if (record.revision > (newest?.revision ?? 0) && !lacking.has(key)) newest = record;
      return newest;
    },
    revision: () => revision,
    listedAt: () => listedAt,
    clusterId: () => clusterId,
    takeList(list) {
      const listed = new Map(list.records.map((record) => [record.key, record]));
      const [was, is] = [get(repairedKey), listed.get(repairedKey)];
      const mark = is && (is.value !== was?.value || is.revision !== was.revision) ? markIn(is) : undefined;
      const isOther = mark !== undefined || list.isOther === true;
      const isBack = revision > 0 && (isOther || isOlder({ clusterId, revision, isPart, get }, list));
      if (isBack) back = { knownTo: Math.max(revision, back?.knownTo ?? 0), revision: list.revision };
      returned.listed(listed, isBack ? get : undefined);
      const changes: SharedChange[] = [];
      for (const records of groups.values()) {
        for (const [key, before] of records) {
          const there = listed.get(key);
          const open = lacking.get(key);
          const known = open?.known ?? before;
          const stays = isBack ? isKept(known, there, mark) : open && open.there?.revision === there?.revision;
          if (stays) {
            const kept = { ...known, revision: there?.revision ?? 0 };
            records.set(key, kept);
            lacking.set(key, { known, kept, there });
            listed.delete(key);
            continue;
          }
          lacking.delete(key);
          if (there) continue;
          records.delete(key);
          changes.push({ key, before, after: undefined, revision: list.revision, missed: true });
        }
      }
      for (const after of [...listed.values()].sort((a, b) => a.revision - b.revision)) {
        const before = set(after.key, after);
        const isSame = before?.revision === after.revision && before.value === after.value;
        if (!isSame) changes.push({ key: after.key, before, after, revision: after.revision, missed: true });
      }
      if (mark && lacking.size === 0) back = undefined;
      clusterId = list.clusterId;
      revision = list.revision;
      listedAt = revision;
      isPart = false;
      tellAll(changes);
      release();
    },
    takeChanges(given) {
      // All of one revision comes at once.
      const swept = new Map(
        given.flatMap((one) => (one.key === sweptKey ? [[one.revision, knownToIn(one.value)]] : [])),
      );
      const changes = given.flatMap(({ key, value, revision: at, leased }): SharedChange[] => {
        if (at <= revision || (value === undefined && isLeft(key, swept.get(at)))) return [];
        const after =
          value === undefined ? undefined : { key, value, revision: at, ...(leased === undefined ? {} : { leased }) };
        const wasLacking = lacking.delete(key);
        const before = set(key, after);
        // What was only known here nobody has ended, nor what went because it had come back.
        returned.changed(key, wasLacking || (!after && swept.has(at)) ? undefined : before, after);
        return [{ key, before, after, revision: at }];
      });
      revision = Math.max(revision, given.at(-1)?.revision ?? 0);
      tellAll(changes.some(({ key }) => key === repairedKey) ? [...changes, ...takeMark()] : changes);
      release();
    },
    repair: () => back && { ...back, lacking },
    returned,
    follow(name, tell) {
      const own = followers.get(name) ?? new Set();
      followers.set(name, own.add(tell));
      return { [Symbol.dispose]: () => void own.delete(tell) };
    },
    onChange: (tell) => void listeners.push(tell),
    when(condition) {
      const { promise: held, resolve } = Promise.withResolvers<void>();
      const one = { condition, resolve };
      if (condition()) resolve();
      else waiting.add(one);
      return { held, [Symbol.dispose]: () => void waiting.delete(one) };
    },
  };
};

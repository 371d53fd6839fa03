/** The shared store as this replica knows it: every record under the prefix, and how far the store was followed. Pure. */

export interface SharedRecord {
  /** Without the prefix: GROUP/NAME. */
  readonly key: string;
  readonly value: string;
  /** Of the store, when the record was last written. */
  readonly revision: number;
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
}

export interface SharedMirror {
  get(key: string): SharedRecord | undefined;
  /** Records whose key begins with GROUP/, by key. */
  group(name: string): ReadonlyMap<string, SharedRecord>;
  /** Everything up to here is known. */
  revision(): number;
  clusterId(): string;
  /** Takes the whole of the store; what is not in it is gone. */
  takeList(list: SharedList): void;
  /** Takes changes in their order; those that are known already are passed over. */
  takeChanges(changes: readonly { readonly key: string; readonly value?: string; readonly revision: number }[]): void;
  /** Calls for the changes of a group, all those of one message together. */
  follow(group: string, tell: (changes: readonly SharedChange[]) => void): Disposable;
  /** Calls once for each change of any group. */
  onChange(tell: (change: SharedChange) => void): void;
  /** Resolves when the condition holds, which is looked at after each message; disposed it is forgotten. */
  when(condition: () => boolean): { readonly held: Promise<void> } & Disposable;
}

const none: ReadonlyMap<string, SharedRecord> = new Map();

const groupOf = (key: string): string => key.slice(0, Math.max(0, key.indexOf("/")));

export const createSharedMirror = (known?: SharedList): SharedMirror => {
  const groups = new Map<string, Map<string, SharedRecord>>();
  const followers = new Map<string, Set<(changes: readonly SharedChange[]) => void>>();
  const listeners: ((change: SharedChange) => void)[] = [];
  const waiting = new Set<{ readonly condition: () => boolean; readonly resolve: () => void }>();
  let revision = known?.revision ?? 0;
  let clusterId = known?.clusterId ?? "";

  const set = (key: string, after: SharedRecord | undefined): SharedRecord | undefined => {
    const name = groupOf(key);
    const records = groups.get(name) ?? new Map<string, SharedRecord>();
    const before = records.get(key);
    if (after) groups.set(name, records.set(key, after));
    else records.delete(key);
    return before;
  };
  for (const record of known?.records ?? []) set(record.key, record);

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

  return {
    get: (key) => groups.get(groupOf(key))?.get(key),
    group: (name) => groups.get(name) ?? none,
    revision: () => revision,
    clusterId: () => clusterId,
    takeList(list) {
      const changes: SharedChange[] = [];
      const present = new Set(list.records.map(({ key }) => key));
      for (const records of groups.values()) {
        for (const [key, before] of records) {
          if (present.has(key)) continue;
          records.delete(key);
          changes.push({ key, before, after: undefined, revision: list.revision, missed: true });
        }
      }
      for (const after of list.records.toSorted((a, b) => a.revision - b.revision)) {
        const before = set(after.key, after);
        const isSame = before?.revision === after.revision && before.value === after.value;
        if (!isSame) changes.push({ key: after.key, before, after, revision: after.revision, missed: true });
      }
      clusterId = list.clusterId;
      revision = list.revision;
      tellAll(changes);
      release();
    },
    takeChanges(given) {
      const changes = given.flatMap(({ key, value, revision: at }): SharedChange[] => {
        if (at <= revision) return [];
        const after = value === undefined ? undefined : { key, value, revision: at };
        return [{ key, before: set(key, after), after, revision: at }];
      });
      revision = Math.max(revision, given.at(-1)?.revision ?? 0);
      tellAll(changes);
      release();
    },
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

/** What one response of a server stream carries, from what the client holds and what it should have. */
import { VersionedMap } from "@weft/core/versioned-map";
import type { Diff, Differ, Versioned } from "./diff.ts";
import type { SnapshotEntry } from "./snapshot.ts";
import type { TypeState } from "./type-state.ts";

export interface Plan {
  readonly entries: readonly SnapshotEntry[];
  readonly removed: readonly string[];
  /** `entries` in parts of which some are the same for many streams. */
  readonly parts?: readonly (readonly SnapshotEntry[])[] | undefined;
  /** By the name of an entry, the names that this client asks for it by, where they are others. */
  readonly aliases?: ReadonlyMap<string, readonly string[]>;
}

const byName = (a: SnapshotEntry, b: SnapshotEntry): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** Changes since the cursor, and what is owed; with `owedOnly` just the latter. */
export const planDelta = (
  state: TypeState,
  target: ReadonlyMap<string, SnapshotEntry>,
  owedOnly: boolean,
  differ: Differ,
): Plan => {
  if (!owedOnly && state.owed.size === 0) {
    return planNamed(state, target) ?? planChanges(state, differ(state.cursor, target));
  }
  const isNew = !owedOnly && state.cursor.size === 0 && !state.wildcard && !state.resuming;
  const { shared } = state.owed;
  if (isNew && shared && shared === state.names.shared) return planShared(shared, target);
  const entries = new Map<string, SnapshotEntry>();
  const removed = new Set<string>();
  if (isNew) {
    for (const name of state.names) {
      const entry = target.get(name);
      if (entry) entries.set(name, entry);
    }
  } else if (!owedOnly) {
    const moved = differ(state.cursor, target);
    for (const entry of moved.changed) if (state.covers(entry.name)) entries.set(entry.name, entry);
    for (const name of moved.removed) if (state.covers(name) || state.resuming) removed.add(name);
  }
  for (const name of state.owed) {
    const entry = state.covers(name) ? target.get(name) : undefined;
    if (entry) entries.set(name, entry);
    else removed.add(name);
  }
  return { entries: [...entries.values()].sort(byName), removed: [...removed].sort() };
};

/** What each of a crowd is sent that comes with nothing and asks for the same. */
const planShared = (names: ReadonlySet<string>, target: ReadonlyMap<string, SnapshotEntry>): Plan => {
  const over = sharedPlans.get(target) ?? new WeakMap<ReadonlySet<string>, Plan>();
  sharedPlans.set(target, over);
  let plan = over.get(names);
  if (!plan) {
    const sorted = [...names].sort();
    plan = {
      entries: sorted.flatMap((name) => target.get(name) ?? []),
      removed: sorted.filter((name) => !target.has(name)),
    };
    over.set(names, plan);
  }
  return plan;
};

const sharedPlans = new WeakMap<ReadonlyMap<string, SnapshotEntry>, WeakMap<ReadonlySet<string>, Plan>>();

/** What most pushes of endpoints are: of all that changed since, a client is subscribed to one or two. */
const planNamed = (state: TypeState, target: ReadonlyMap<string, SnapshotEntry>): Plan | undefined => {
  if (state.wildcard) return undefined;
  const entries: SnapshotEntry[] = [];
  const known = VersionedMap.visitBetween<Versioned>(state.cursor, target, (name) => {
    const entry = state.covers(name) ? target.get(name) : undefined;
    if (entry && !entries.includes(entry) && state.cursor.get(name)?.version !== entry.version) entries.push(entry);
  });
  if (!known) return undefined;
  return { entries: entries.length > 1 ? entries.sort(byName) : entries, removed: nothing };
};

const nothing: readonly string[] = [];

/** What most other pushes are; a client that gets all that changed gets the very list that the others get. */
const planChanges = (state: TypeState, { changed, removed, parts }: Diff): Plan => {
  const all = state.coversAll || changed.every(({ name }) => state.covers(name));
  return {
    entries: all ? changed : changed.filter(({ name }) => state.covers(name)),
    removed: removed.length === 0 ? removed : removed.filter((name) => state.covers(name) || state.resuming).sort(),
    parts: all ? parts : undefined,
  };
};

/** The whole world for Listener and Cluster; for the other types what changed and what is owed. */
export const planSotw = (
  state: TypeState,
  target: ReadonlyMap<string, SnapshotEntry>,
  owedOnly: boolean,
  differ: Differ,
): Plan => {
  if (!state.fullState) return { entries: planDelta(state, target, owedOnly, differ).entries, removed: [] };
  const entries = state.wildcard
    ? [...target.values()]
    : [...target.values()].filter(({ name }) => state.names.has(name));
  return { entries, removed: [] };
};

/** Whether anything the client is subscribed to differs. Held removals do not: they are still in what it is sent. */
export const concerns = (
  state: TypeState,
  from: ReadonlyMap<string, Versioned>,
  to: ReadonlyMap<string, SnapshotEntry>,
  differ: Differ,
): boolean => {
  if (from === to) return false;
  const { changed, removed } = differ(from, to);
  if (state.coversAll && changed.length > 0) return true;
  if (changed.some(({ name }) => state.covers(name))) return true;
  return removed.some((name) => state.covers(name) && !state.held.has(name));
};

/** The cursor after only these were sent. */
export const overlay = (
  cursor: ReadonlyMap<string, Versioned>,
  entries: readonly SnapshotEntry[],
  removed: readonly string[],
): ReadonlyMap<string, Versioned> => {
  const next = new Map(cursor);
  for (const entry of entries) next.set(entry.name, entry);
  for (const name of removed) next.delete(name);
  return next;
};

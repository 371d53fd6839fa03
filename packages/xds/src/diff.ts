/** What moves a reader from one state of a type to another; delta and state of the world are both served from it. */
import type { SnapshotEntry } from "./snapshot.ts";

export interface Versioned {
  readonly version: string;
}

export interface Diff {
  /** New or different, in the order of the names. */
  readonly changed: readonly SnapshotEntry[];
  readonly removed: readonly string[];
}

export type Differ = (from: ReadonlyMap<string, Versioned>, to: ReadonlyMap<string, SnapshotEntry>) => Diff;

export const diff: Differ = (from, to) => {
  const changed: SnapshotEntry[] = [];
  const removed: string[] = [];
  for (const [name, entry] of to) {
    const before = from.get(name);
    if (before !== entry && before?.version !== entry.version) changed.push(entry);
  }
  for (const name of from.keys()) if (!to.has(name)) removed.push(name);
  return { changed, removed };
};

/** As `diff`, but remembers the last answer per `from`: thousands of streams move between the same two states. */
export const createDiffer = (): Differ => {
  const last = new WeakMap<object, { readonly to: object; readonly diff: Diff }>();
  return (from, to) => {
    const known = last.get(from);
    if (known?.to === to) return known.diff;
    const made = diff(from, to);
    last.set(from, { to, diff: made });
    return made;
  };
};

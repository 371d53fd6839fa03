/** What moves a reader from one state of a type to another; delta and state of the world are both served from it. */
import { LayeredMap } from "@weft/core/layered-map";
import { VersionedMap } from "@weft/core/versioned-map";
import type { SnapshotEntry } from "./snapshot.ts";

export interface Versioned {
  readonly version: string;
}

export interface Diff {
  /** New or different, in the order of what is compared to. */
  readonly changed: readonly SnapshotEntry[];
  /** `changed` in parts of which some are the same for many. */
  readonly parts?: readonly (readonly SnapshotEntry[])[];
  readonly removed: readonly string[];
}

export type Differ = (from: ReadonlyMap<string, Versioned>, to: ReadonlyMap<string, SnapshotEntry>) => Diff;

export const diff: Differ = (from, to) => {
  const names = VersionedMap.between(from, to);
  if (names) return { changed: changedOf([...names].sort(), from, to), removed: [] };
  const changed: SnapshotEntry[] = [];
  const removed: string[] = [];
  for (const [name, entry] of to) {
    const before = from.get(name);
    if (before !== entry && before?.version !== entry.version) changed.push(entry);
  }
  for (const name of from.keys()) if (!to.has(name)) removed.push(name);
  return { changed, removed };
};

const changedOf = (
  names: readonly string[],
  from: ReadonlyMap<string, Versioned>,
  to: ReadonlyMap<string, SnapshotEntry>,
): readonly SnapshotEntry[] =>
  names.flatMap((name) => {
    const entry = to.get(name);
    return entry && from.get(name)?.version !== entry.version ? [entry] : [];
  });

/**
 * As `diff`, but remembers its answers for as long as both states are there: thousands of streams move between the same
 * two. Of states in layers each layer is compared, so that streams with something of their own share the rest.
 */
export const createDiffer = (): Differ => {
  const known = new WeakMap<object, WeakMap<object, Diff>>();
  const remembered = (from: Parameters<Differ>[0], to: Parameters<Differ>[1], make: () => Diff): Diff => {
    const over = known.get(to) ?? new WeakMap<object, Diff>();
    known.set(to, over);
    const made = over.get(from) ?? make();
    over.set(from, made);
    return made;
  };
  const differ: Differ = (from, to) =>
    remembered(from, to, () => (to instanceof LayeredMap ? layered(from, to, differ) : diff(from, to)));
  return differ;
};

const layered = (from: ReadonlyMap<string, Versioned>, to: LayeredMap<string, SnapshotEntry>, differ: Differ): Diff => {
  const before: readonly ReadonlyMap<string, Versioned>[] = from instanceof LayeredMap ? from.layers : [from];
  const fresh = to.layers.filter((layer) => !before.includes(layer));
  const parts = fresh.map((layer) => {
    if (from.size === 0) return differ(from, layer).changed;
    const changed: SnapshotEntry[] = [];
    for (const [name, entry] of layer) if (from.get(name)?.version !== entry.version) changed.push(entry);
    return changed;
  });
  const gone: string[] = [];
  for (const layer of before) {
    if ((to.layers as readonly object[]).includes(layer)) continue;
    for (const name of layer.keys()) if (!to.has(name)) gone.push(name);
  }
  return { changed: parts.flat(), removed: gone, parts };
};

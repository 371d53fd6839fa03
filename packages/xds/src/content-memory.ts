/** Resources by content, so that equal ones are one, whoever made them; for as long as they are asked for. */
import type { SnapshotEntry } from "./snapshot.ts";

/** Gives what is remembered under the key, or makes it and remembers that. */
export type ContentMemory = (key: string, make: () => SnapshotEntry) => SnapshotEntry;

/** Larger ones, as the table of all services is, are remembered only while somebody has them: each change makes another. */
const heldBytesMax = 256 * 1024;
const largeMax = 1024;

/** Holds two generations of so many bytes of encodings; what is asked for is of the young one again. */
export const createContentMemory = (bytesMax: number): ContentMemory => {
  let young = new Map<string, SnapshotEntry>();
  let old = new Map<string, SnapshotEntry>();
  let bytes = 0;
  const large = new Map<string, WeakRef<SnapshotEntry>>();

  const rememberWeakly = (key: string, entry: SnapshotEntry): void => {
    if (large.size >= largeMax) {
      for (const [each, one] of large) if (one.deref() === undefined) large.delete(each);
      if (large.size >= largeMax) large.clear();
    }
    large.set(key, new WeakRef(entry));
  };

  return (key, make) => {
    const known = young.get(key) ?? large.get(key)?.deref();
    if (known) return known;
    const entry = old.get(key) ?? make();
    const size = entry.bytes.length;
    if (size > heldBytesMax) {
      rememberWeakly(key, entry);
      return entry;
    }
    if (bytes + size > bytesMax) {
      old = young;
      young = new Map();
      bytes = 0;
    }
    bytes += size;
    young.set(key, entry);
    return entry;
  };
};

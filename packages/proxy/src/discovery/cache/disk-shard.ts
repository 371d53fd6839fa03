/** One file of the cache: changes are added at its end, and it is written anew when too much of it is of no use. */
import type { CacheFiles } from "./cache-files.ts";
import {
  bodySum,
  type EntryMark,
  encodeEntry,
  entryKey,
  formatHeader,
  type LocatedEntry,
  readHeader,
  scanEntries,
} from "./entry-record.ts";
import { shardDeadBytesMin } from "./limits.ts";

/** An entry as it is to stand in the file. */
export interface EntryWrite {
  readonly mark: EntryMark;
  readonly bytes: Uint8Array;
  /** Where its JSON begins among them. */
  readonly at: number;
}

/** What was found wrong with a file. */
export interface ShardTrouble {
  /** The proxy that the file is of, where nothing in it is this one's. */
  readonly foreign?: string;
  /** Keys that are lost. */
  readonly damaged: readonly string[];
  readonly unreadable: number;
  readonly cut: boolean;
}

export interface DiskShard {
  readonly name: string;
  readonly entries: ReadonlyMap<string, LocatedEntry>;
  /** Bytes of the file, and of them those that are of no use. */
  readonly bytes: number;
  readonly deadBytes: number;
  /** Reads the file, whatever is in it. Throws where it cannot be read. */
  load(): ShardTrouble | undefined;
  /** The JSON of an entry; `undefined` where it is damaged by now, and it is forgotten then. */
  read(key: string): Buffer | undefined;
  /** That of several, by one look at the file; those that are missing are damaged by now, and forgotten. */
  readMany(keys: readonly string[]): ReadonlyMap<string, Buffer>;
  /** False: somebody else has changed the file. Throws where it cannot be written; what is there stays then. */
  write(writes: readonly EntryWrite[]): boolean;
  /** Forgets entries, which are gone from the file with the next `compact`. */
  drop(keys: Iterable<string>): void;
  /** Writes the file anew with what is of use. Gives the keys that were found damaged. */
  compact(): readonly string[];
}

export const createDiskShard = (name: string, files: CacheFiles, nodeId: string): DiskShard => {
  const entries = new Map<string, LocatedEntry>();
  let bytes = 0;
  let useBytes = 0;
  /** What is in the file is not to be added to. */
  let spoilt = false;

  const forget = (key: string): void => {
    useBytes -= entries.get(key)?.size ?? 0;
    entries.delete(key);
  };
  const put = (entry: LocatedEntry): void => {
    const key = entryKey(entry.mark);
    forget(key);
    if (entry.mark.length === 0) return;
    entries.set(key, entry);
    useBytes += entry.size;
  };
  const clear = (): void => {
    entries.clear();
    bytes = 0;
    useBytes = 0;
  };

  const verified = (key: string, { mark }: LocatedEntry, body: Buffer): Buffer | undefined => {
    if (body.length === mark.length && bodySum(body) === mark.sum) return body;
    forget(key);
    spoilt = true;
    return undefined;
  };

  const compact = (): readonly string[] => {
    const content = files.read(name);
    const damaged: string[] = [];
    const parts: Uint8Array[] = [Buffer.from(formatHeader(nodeId))];
    const kept: LocatedEntry[] = [];
    let at = parts[0]?.length ?? 0;
    for (const [key, entry] of entries) {
      const body = content?.subarray(entry.at, entry.at + entry.mark.length);
      if (!body || body.length !== entry.mark.length || bodySum(body) !== entry.mark.sum) {
        damaged.push(key);
        continue;
      }
      const encoded = encodeEntry(nodeId, entry.mark, body);
      parts.push(encoded.bytes);
      kept.push({ mark: entry.mark, at: at + encoded.at, size: encoded.bytes.length });
      at += encoded.bytes.length;
    }
    if (kept.length > 0) files.replace(name, Buffer.concat(parts));
    else if (content) files.remove(name);
    clear();
    for (const entry of kept) put(entry);
    bytes = kept.length > 0 ? at : 0;
    spoilt = false;
    return damaged;
  };

  return {
    name,
    entries,
    get bytes() {
      return bytes;
    },
    get deadBytes() {
      return bytes - useBytes;
    },
    load: () => {
      clear();
      spoilt = false;
      const content = files.read(name);
      if (!content || content.length === 0) return undefined;
      bytes = content.length;
      const { entries: found, damaged, unreadable, cut } = scanEntries(content, nodeId);
      for (const entry of found.values()) put(entry);
      const owner = readHeader(content);
      const isForeign = found.size === 0 && damaged.size === 0 && owner !== undefined && owner !== nodeId;
      spoilt = isForeign || damaged.size > 0 || unreadable > 0 || cut;
      if (!spoilt) return undefined;
      return { ...(isForeign ? { foreign: owner } : {}), damaged: [...damaged], unreadable, cut };
    },
    read: (key) => {
      const entry = entries.get(key);
      return entry && verified(key, entry, files.readPart(name, entry.at, entry.mark.length));
    },
    readMany: (keys) => {
      const found = new Map<string, Buffer>();
      const content = files.read(name) ?? Buffer.alloc(0);
      for (const key of keys) {
        const entry = entries.get(key);
        const body = entry && verified(key, entry, content.subarray(entry.at, entry.at + entry.mark.length));
        if (body) found.set(key, body);
      }
      return found;
    },
    write: (writes) => {
      if (spoilt || bytes - useBytes > Math.max(shardDeadBytesMin, useBytes)) compact();
      const parts: Uint8Array[] = bytes === 0 ? [Buffer.from(formatHeader(nodeId))] : [];
      let at = bytes + (parts[0]?.length ?? 0);
      const added: LocatedEntry[] = [];
      for (const write of writes) {
        parts.push(write.bytes);
        added.push({ mark: write.mark, at: at + write.at, size: write.bytes.length });
        at += write.bytes.length;
      }
      if (!files.append(name, bytes, Buffer.concat(parts))) {
        spoilt = true;
        return false;
      }
      bytes = at;
      for (const entry of added) put(entry);
      return true;
    },
    drop: (keys) => {
      for (const key of keys) forget(key);
    },
    compact,
  };
};

/** Records of a source that cannot be read now, one by one or as whole folders, until it is told otherwise. */
import { keyCharsMax } from "./instance-problem.ts";

/** Unreadable records remembered by name. */
export const unreadableMax = 1_000;
/** Folders that cannot be read as a whole, remembered beside those. */
export const unreadableFoldersMax = 20_000;

export interface UnreadableRecords {
  /** `whole`: nothing below `key/` could be read either. */
  note(key: string, problem: string, whole: boolean): void;
  forget(key: string): void;
  /** Whether the record, or a folder that it is in, is unreadable. */
  covers(key: string): boolean;
  /** A list came: what was not told to be unreadable since the one before, and what is `present`, is forgotten. */
  listed(present: ReadonlySet<string>): void;
  /** Keys with what is wrong. */
  problems(): ReadonlyMap<string, string>;
}

interface Noted {
  readonly problem: string;
  readonly listing: number;
}

export const createUnreadableRecords = (): UnreadableRecords => {
  const records = new Map<string, Noted>();
  const folders = new Map<string, Noted>();
  let listing = 0;

  const isInFolder = (key: string): boolean => {
    if (folders.size === 0) return false;
    for (let at = key.lastIndexOf("/"); at > 0; at = key.lastIndexOf("/", at - 1))
      if (folders.has(key.slice(0, at))) return true;
    return false;
  };
  return {
    note(key, problem, whole) {
      const short = key.slice(0, keyCharsMax);
      const [into, most] = whole ? [folders, unreadableFoldersMax] : [records, unreadableMax];
      if (into.has(short) || into.size < most) into.set(short, { problem, listing });
    },
    forget(key) {
      records.delete(key);
      folders.delete(key);
    },
    covers: (key) => records.has(key) || isInFolder(key),
    listed(present) {
      for (const all of [records, folders])
        for (const [key, { listing: seenIn }] of all) if (seenIn < listing && !present.has(key)) all.delete(key);
      listing++;
    },
    problems: () =>
      new Map([...folders, ...records].slice(0, unreadableMax).map(([key, { problem }]) => [key, problem])),
  };
};

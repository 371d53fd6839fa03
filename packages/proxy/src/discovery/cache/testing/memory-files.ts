/** For tests: a folder in memory that can be damaged, filled up and made read-only. */
import type { CacheFiles } from "../cache-files.ts";

export interface MemoryFiles extends CacheFiles {
  readonly content: Map<string, Buffer>;
  /** Bytes that were written so far, to files in place and anew. */
  written: number;
  /** Bytes the folder has room for. */
  room: number;
  /** What each write fails with. */
  failure: Error | undefined;
  /** The most bytes that were ever in the folder, with what was being replaced. */
  highest: number;
}

export const memoryFiles = (content = new Map<string, Buffer>()): MemoryFiles => {
  const total = (): number => [...content.values()].reduce((sum, { length }) => sum + length, 0);
  const take = (bytes: number): void => {
    if (files.failure) throw files.failure;
    if (total() + bytes > files.room) throw Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
    files.highest = Math.max(files.highest, total() + bytes);
    files.written += bytes;
  };
  const files: MemoryFiles = {
    content,
    written: 0,
    room: Number.POSITIVE_INFINITY,
    failure: undefined,
    highest: 0,
    read: (name) => content.get(name),
    readPart: (name, at, length) => {
      const file = content.get(name);
      if (!file) throw new Error(`ENOENT: ${name}`);
      return file.subarray(at, at + length);
    },
    append: (name, at, bytes) => {
      const file = content.get(name) ?? Buffer.alloc(0);
      if (file.length !== at) return false;
      take(bytes.length);
      content.set(name, Buffer.concat([file, bytes]));
      return true;
    },
    replace: (name, bytes) => {
      take(bytes.length);
      content.set(name, Buffer.from(bytes));
    },
    remove: (name) => void content.delete(name),
  };
  return files;
};

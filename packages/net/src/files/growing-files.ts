/** Files in a folder that grow at their ends: read in part, added to, replaced whole. For this user only. */
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { makeFolder, removeFile, writeAtomic } from "./files.ts";

export interface GrowingFiles {
  /** The whole file; `undefined` when there is none. */
  read(name: string): Buffer | undefined;
  /** As many of those bytes as there are. */
  readPart(name: string, at: number, length: number): Buffer;
  /** False, and nothing done, where the file is not `at` bytes long. A write that fails leaves the file as it was. */
  append(name: string, at: number, bytes: Uint8Array): boolean;
  /** Replaces the file at once or not at all, also when the power goes. */
  replace(name: string, bytes: Uint8Array): void;
  remove(name: string): void;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** The folder is made with the first write. */
export const openGrowingFiles = (folder: string): GrowingFiles => {
  const pathOf = (name: string): string => join(folder, name);

  const withFile = <T>(name: string, flags: string, use: (file: number) => T): T => {
    const file = openSync(pathOf(name), flags, 0o600);
    try {
      return use(file);
    } finally {
      closeSync(file);
    }
  };

  const append = (name: string, at: number, bytes: Uint8Array): boolean =>
    withFile(name, "a", (file) => {
      if (fstatSync(file).size !== at) return false;
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
        return true;
      } catch (error) {
        ftruncateSync(file, at);
        throw error;
      }
    });

  return {
    read: (name) => {
      try {
        return readFileSync(pathOf(name));
      } catch (error) {
        if (codeOf(error) === "ENOENT") return undefined;
        throw error;
      }
    },
    readPart: (name, at, length) =>
      withFile(name, "r", (file) => {
        const bytes = Buffer.alloc(length);
        let done = 0;
        while (done < length) {
          const count = readSync(file, bytes, done, length - done, at + done);
          if (count === 0) break;
          done += count;
        }
        return bytes.subarray(0, done);
      }),
    append: (name, at, bytes) => {
      try {
        return append(name, at, bytes);
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
        makeFolder(folder);
        return append(name, at, bytes);
      }
    },
    replace: (name, bytes) => {
      makeFolder(folder);
      writeAtomic(pathOf(name), bytes);
    },
    remove: (name) => removeFile(pathOf(name)),
  };
};

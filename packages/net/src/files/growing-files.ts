/**
 * Files in a folder that grow at their ends: read in part, added to, replaced whole. For this user only. What is written is
 * the system's at once, so it survives the end of the process; it is put on the disk soon after, beside everything else,
 * so a power cut may take what was written last, and of a file that was just replaced all.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { SetTimer } from "@weft/core/world";
import { makeFolder, removeFile } from "./files.ts";

export interface GrowingFiles {
  /** The whole file; `undefined` when there is none. */
  read(name: string): Buffer | undefined;
  /** As many of those bytes as there are. */
  readPart(name: string, at: number, length: number): Buffer;
  /** False, and nothing done, where the file is not `at` bytes long. A write that fails leaves the file as it was. */
  append(name: string, at: number, bytes: Uint8Array): boolean;
  /** Replaces the file at once or not at all. */
  replace(name: string, bytes: Uint8Array): void;
  remove(name: string): void;
  /** Resolves when all that was written before is on the disk, as far as that can be had. */
  synced(): Promise<void>;
}

/** What was written is on the disk so much later, and the disk is asked no more often. */
export const syncAfterMs = 1_000;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** The folder is made with the first write. */
export const openGrowingFiles = (folder: string, setTimer: SetTimer): GrowingFiles => {
  const pathOf = (name: string): string => join(folder, name);
  const unsynced = new Set<string>();
  let timer: Disposable | undefined;
  let running: Promise<void> = Promise.resolve();

  const syncAll = async (): Promise<void> => {
    const names = [...unsynced];
    unsynced.clear();
    // One after the other: the thread pool is others' too. The folder has the names.
    for (const path of names.length === 0 ? [] : [...names.map(pathOf), folder]) await syncOne(path);
  };
  const sync = (): Promise<void> => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    running = running.then(syncAll);
    return running;
  };
  const wrote = (name: string): void => {
    unsynced.add(name);
    timer ??= setTimer(() => void sync(), syncAfterMs);
  };

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
      wrote(name);
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
      const temporary = pathOf(`.${randomBytes(6).toString("hex")}.tmp`);
      try {
        writeFileSync(temporary, bytes, { flag: "wx", mode: 0o600 });
        renameSync(temporary, pathOf(name));
      } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
      }
      wrote(name);
    },
    remove: (name) => {
      removeFile(pathOf(name));
      wrote(name);
    },
    synced: sync,
  };
};

/** A file that is gone by now needs nothing; a disk that cannot do it says so when it is written to. */
const syncOne = async (path: string): Promise<void> => {
  try {
    await using file = await open(path, "r");
    await file.datasync();
  } catch {
    return;
  }
};

/** Files as the control plane and the sidecar keep them: written whole or not at all, readable by their owner only. */
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";

/** Creates the folder, and those above it, for this user only. */
export const makeFolder = (path: string): void => {
  mkdirSync(path, { recursive: true, mode: 0o700 });
};

/**
 * Creates the folder for this user only, and those above it that are missing so that others may go through them. Gives the
 * uppermost that was made.
 */
export const makeFolderAmongOthers = (path: string): string | undefined => {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return undefined;
  // A umask may have taken more than was asked for.
  for (let at = dirname(path); at.length >= first.length; at = dirname(at)) chmodSync(at, 0o755);
  return first;
};

/** The first on the way to a file, or itself, that others than its owner and group may not go through or read. */
export const closedToOthers = (path: string): string | undefined => {
  const parts = resolve(path).split(sep);
  const ways = parts.map((_, count) => parts.slice(0, count + 1).join(sep) || sep);
  return ways.find((way, at) => (statSync(way).mode & (at === ways.length - 1 ? 0o004 : 0o001)) === 0);
};

/** The file's text; `undefined` when there is none. Throws what else the system says. */
export const readIfThere = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
};

/** Names in a folder, sorted; none when it is not there. */
export const listFolder = (path: string): readonly string[] => {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
};

/** Whether a file or folder is there that can be read. */
export const isReadable = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

/** Replaces the file: a reader sees the old content or the new, also after a crash. The mode is 0600 unless said. */
export const writeAtomic = (path: string, content: string | Uint8Array, mode = 0o600): void => {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = openSync(temporary, "wx", mode);
    try {
      const bytes = Buffer.from(content as string);
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
};

/** As `writeAtomic`, beside what the process does meanwhile: for what may be written often, on a disk that may be slow. */
export const writeAtomicBeside = async (path: string, content: string | Uint8Array, mode = 0o600): Promise<void> => {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await writeFile(temporary, content, { flag: "wx", mode, flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
};

/** Removes the folder and those above it up to that one, as far as nothing is in them. */
export const removeEmptyFolders = (path: string, upTo: string): void => {
  try {
    for (let at = path; at.length >= upTo.length; at = dirname(at)) rmdirSync(at);
  } catch {
    // Somebody has put something there.
  }
};

export const removeFile = (path: string): void => rmSync(path, { force: true });

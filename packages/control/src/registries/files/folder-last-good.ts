/** The files of a folder as they were read last, in one file of the data folder, for a start at which the folder is away. */
import { createHash } from "node:crypto";
import { makeFolder, readIfThere, writeAtomic } from "@weft/net/files/files";
import type { ConfigFile } from "../../store/config-store.ts";

const magic = "weft-last-files 1";
/** Larger folders are not kept. */
export const keptCharsMax = 64 * 1_024 * 1_024;

export interface FolderLastGood {
  /** Empty where nothing can be used. */
  readonly files: readonly ConfigFile[];
  /** Why; "" where nothing is wrong. */
  readonly problem: string;
}

const checksum = (body: string): string => createHash("sha256").update(body).digest("hex");

/** Trusts nothing of the file: what is damaged anywhere, or of another folder, is not used at all. */
export const readFolderLastGood = (path: string, folder: string): FolderLastGood => {
  try {
    const text = readIfThere(path);
    if (text === undefined) return { files: [], problem: "" };
    const [head = "", body = ""] = text.split("\n", 2);
    if (head !== `${magic} ${checksum(body)}`) return { files: [], problem: "it is damaged and not used" };
    const kept = JSON.parse(body) as { readonly folder: string; readonly files: readonly ConfigFile[] };
    return { files: kept.folder === folder ? kept.files : [], problem: "" };
  } catch (error) {
    return { files: [], problem: `it cannot be read: ${(error as Error).message}` };
  }
};

/** Gives why the files cannot be kept; "" where they are. */
export const keepFolderLastGood = (path: string, folder: string, files: readonly ConfigFile[]): string => {
  const chars = files.reduce((sum, { text }) => sum + text.length, 0);
  if (chars > keptCharsMax) return `the folder has more than ${keptCharsMax} characters`;
  const body = JSON.stringify({ folder, files: files.map(({ path: name, text }) => ({ path: name, text })) });
  try {
    makeFolder(path.slice(0, path.lastIndexOf("/")));
    writeAtomic(path, `${magic} ${checksum(body)}\n${body}\n`);
    return "";
  } catch (error) {
    return `it cannot be written: ${(error as Error).message}`;
  }
};

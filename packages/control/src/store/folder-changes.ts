/** Keeps changes made over the API in a folder, one file each. */
import { createHash } from "node:crypto";
import type { SourcePosition } from "@weft/core/error";
import type { Logger } from "@weft/core/world";
import { listFolder, makeFolder, readIfThere, removeFile, writeAtomic } from "@weft/net/files/files";
import type { ChangePersistence, StoredChange } from "./config-store.ts";

/** A file that cannot be read is left out and said. */
export const folderChanges = (folder: string, log: Logger): ChangePersistence => {
  makeFolder(folder);
  const fileOf = (key: string): string => `${folder}/${fileName(encodeURIComponent(key))}.json`;
  return {
    load: () =>
      listFolder(folder)
        .filter((name) => name.endsWith(".json"))
        .flatMap((name) => {
          const change = parseChange(readIfThere(`${folder}/${name}`) ?? "");
          if (!change) log.error("a stored change cannot be read and is left out", { file: `${folder}/${name}` });
          return change ?? [];
        }),
    save: (change) => writeAtomic(fileOf(change.key), `${JSON.stringify(change)}\n`),
    remove: (key) => removeFile(fileOf(key)),
  };
};

/** A file's name has at most 255 bytes; a longer key is told apart by its hash. What is read is the key in the file. */
const fileName = (name: string): string =>
  name.length <= nameBytesMax ? name : `${name.slice(0, 128)}.${createHash("sha256").update(name).digest("hex")}`;
const nameBytesMax = 200;

/** A change as it was stored; `undefined` where the text is none. */
export const parseChange = (content: string): StoredChange | undefined => {
  try {
    const { key, text, over, order, source } = JSON.parse(content) as Partial<StoredChange>;
    if (typeof key !== "string" || typeof over !== "string" || typeof order !== "number") return undefined;
    const origin = isPosition(source) ? { source } : {};
    return text === undefined || typeof text === "string" ? { key, text, over, order, ...origin } : undefined;
  } catch {
    return undefined;
  }
};

const isPosition = (value: unknown): value is SourcePosition => {
  const { file, line, column } = (value ?? {}) as Partial<SourcePosition>;
  return typeof file === "string" && typeof line === "number" && typeof column === "number";
};

/** A secret kept in a file of its own. */
import { randomBytes } from "node:crypto";
import { readIfThere, writeAtomic } from "@weft/net/files/files";

const secretBytes = 32;

/** The file's secret, made (256 bits, 0600) when there is none. */
export const secretInFile = (path: string): string => {
  const known = readIfThere(path)?.trim();
  if (known !== undefined && known !== "") return known;
  const made = randomBytes(secretBytes).toString("base64url");
  writeAtomic(path, `${made}\n`);
  return made;
};

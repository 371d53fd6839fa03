import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder only this user can read, deleted with all in it when disposed. */
export const makePrivateFolder = (prefix: string): Disposable & { readonly path: string } => {
  const path = mkdtempSync(join(tmpdir(), prefix));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

/** Copies a folder and all in it to a path that is made. */
export const copyFolder = (from: string, to: string): void => cpSync(from, to, { recursive: true });

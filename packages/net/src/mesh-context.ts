/**
 * Where the mesh of this user on this machine is: written by whoever runs a control plane here, read by every command,
 * so that `weft proxy-status` in another terminal needs no flags. The folder is the user's own (0700), the file 0600.
 */
import { lstatSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

export interface MeshContext {
  /** `H:P` each. */
  readonly http: string;
  readonly secure: string;
  readonly xds: string;
  readonly monitoring: string;
  readonly rootCertFile: string;
  readonly adminTokenFile: string;
  readonly joinTokenFile: string;
  /** The control plane's process; a context whose process is gone is not believed. */
  readonly pid: number;
  readonly startedAt: string;
}

/** `WEFT_STATE_DIR` where set, else a folder of the user's under the system's temporary folder. */
export const meshStateFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  env.WEFT_STATE_DIR ?? join(tmpdir(), `weft-${userInfo().uid}`);

const fileIn = (folder: string): string => join(folder, "mesh.json");

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
};

/**
 * Nobody else can put anything into the folder. Its name in the shared temporary folder is known beforehand, so another
 * user could have made it, or a link to it, to point our commands, tokens and all, at a mesh of theirs.
 */
const isOurs = (folder: string): boolean => {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === userInfo().uid && (found.mode & 0o022) === 0;
};

/** The running mesh's context, or `undefined`: no file, not ours, unreadable, or its process is gone. */
export const readMeshContext = (folder: string): MeshContext | undefined => {
  try {
    if (!isOurs(folder)) return undefined;
    const context = JSON.parse(readFileSync(fileIn(folder), "utf8")) as MeshContext;
    return typeof context.http === "string" && isAlive(context.pid) ? context : undefined;
  } catch {
    return undefined;
  }
};

/**
 * Publishes the context; disposing takes it back unless another process has replaced it. `undefined`: somebody else can
 * write to the folder, so nothing was written there.
 */
export const publishMeshContext = (folder: string, context: MeshContext): Disposable | undefined => {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  if (!isOurs(folder)) return undefined;
  const temporary = join(folder, `mesh.json.${process.pid}`);
  rmSync(temporary, { force: true });
  writeFileSync(temporary, `${JSON.stringify(context, null, 2)}\n`, { mode: 0o600, flag: "wx" });
  renameSync(temporary, fileIn(folder));
  return {
    [Symbol.dispose]: () => {
      if (readMeshContext(folder)?.pid !== context.pid) return;
      rmSync(fileIn(folder), { force: true });
      try {
        rmdirSync(folder);
      } catch {
        // Something else of the user's is in it.
      }
    },
  };
};

/** The machine that joins: whether it can keep what a token gives, and whether its unit's user can run what is in the unit. */
import { WeftError } from "@weft/core/error";
import {
  closedToOthers,
  makeFolderAmongOthers,
  readIfThere,
  removeEmptyFolders,
  removeFile,
  writeAtomic,
} from "@weft/net/files/files";
import { joinedFiles } from "./join-mesh.ts";

/**
 * Makes the folders and tries to write to them, for a token is spent once. Throws WF2213. Disposing takes away the folders
 * that were made, while nothing is in them.
 */
export const prepareMachine = (folder: string, unitDir: string): DisposableStack => {
  using made = new DisposableStack();
  const identityFolder = `${joinedFiles(folder).data}/identity`;
  try {
    for (const path of [folder, identityFolder]) {
      const first = makeFolderAmongOthers(path);
      if (first !== undefined) made.defer(() => removeEmptyFolders(path, first));
    }
    for (const path of [folder, identityFolder, unitDir]) {
      const trial = `${path}/.weft-join`;
      writeAtomic(trial, "");
      removeFile(trial);
    }
  } catch (cause) {
    throw unwritable(cause, "The token is as good as before.");
  }
  return made.move();
};

export const unwritable = (cause: unknown, token: string): WeftError =>
  new WeftError("WF2213", `cannot write the machine's files: ${(cause as Error).message}`, {
    next: `run it as root, or give --dir and --unit-dir that you may write to. ${token}`,
    cause,
  });

/** What would keep the unit from starting, in words; nothing is read beyond names and modes. */
export const unitTroubles = (user: string, programs: readonly string[]): readonly string[] => {
  const isThere =
    /^\d+$/.test(user) ||
    usersKnown()
      .split("\n")
      .some((line) => line.startsWith(`${user}:`));
  const shut = user === "root" ? undefined : programs.map(reached).find((path) => path !== undefined);
  return [
    ...(isThere ? [] : [`/etc/passwd has no user ${user}, whom the unit runs as: useradd --system ${user}`]),
    ...(shut === undefined
      ? []
      : [
          `the user ${user} may not reach ${shut}, which the unit needs: put weft and Node where everybody may read them`,
        ]),
  ];
};

const usersKnown = (): string => {
  try {
    return readIfThere("/etc/passwd") ?? "";
  } catch {
    return "";
  }
};

const reached = (path: string): string | undefined => {
  try {
    return closedToOthers(path);
  } catch {
    return path;
  }
};

import { WeftError } from "@weft/core/error";
import { listConfigFiles, readStandardInput, readText } from "@weft/net/read-text";

/** One file's text under the name that messages give it. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

/** The files that paths mean, in order: files, folders, and `-` for standard input. What cannot be read is WF9029. */
export const readConfigFiles = async (paths: readonly string[]): Promise<readonly ConfigFile[]> => {
  const files: ConfigFile[] = [];
  for (const path of paths) {
    if (path === "-") {
      files.push({ name: "<stdin>", text: await readStandardInput() });
      continue;
    }
    try {
      for (const name of listConfigFiles(path)) files.push({ name, text: readText(name) });
    } catch (cause) {
      throw new WeftError("WF9029", `cannot read ${path}: ${reasonOf(cause)}`, { next: "check the path", cause });
    }
  }
  return files;
};

const reasonOf = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT") return "there is no such file or folder";
  return code === "EACCES" ? "permission denied" : message;
};

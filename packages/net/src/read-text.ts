import { globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** The file's text. Throws what the system says (`code` ENOENT, EACCES …). */
export const readText = (path: string): string => readFileSync(path, "utf8");

/** Standard input to its end, as text. Not read at once by its descriptor: a pipe that has nothing yet may refuse that. */
export const readStandardInput = (): Promise<string> => text(process.stdin);

const yamlEndings = ["yaml", "yml", "json"];

/** The configuration files that a path means: itself, or for a folder every YAML and JSON file below it, sorted. */
export const listConfigFiles = (path: string): readonly string[] => {
  if (!statSync(path).isDirectory()) return [path];
  return globSync(
    yamlEndings.map((ending) => `**/*.${ending}`),
    { cwd: path },
  )
    .filter((name) => !name.split("/").includes("node_modules"))
    .sort()
    .map((name) => join(path, name));
};

/** `file:///DIR`: a folder of YAML as a registry of its own. */
import { nameFor } from "../outside/named-registries.ts";
import { parseRegistryUrl, refuseOtherOptions, refuseSecrets, wrongUrl } from "../outside/registry-url.ts";

const scheme = "file";
export const folderUsage = "file:///FOLDER";
export const foldersMax = 8;

export interface NamedFolder {
  /** The source of its services, and the name of its file in the data folder. */
  readonly name: string;
  readonly url: string;
  readonly folder: string;
}

export const isFolderUrl = (text: string): boolean => text.toLowerCase().startsWith(`${scheme}:`);

/** Throws WF2102 for a URL that cannot be used, or has a name of `others`. */
export const nameFolders = (urls: readonly string[], others: readonly string[]): readonly NamedFolder[] => {
  const named = new Map<string, NamedFolder>();
  const taken = new Map<string, unknown>(others.map((name) => [name, true]));
  for (const text of urls) {
    refuseSecrets(text);
    if (/^file:(\/\/[^/]|(?!\/\/))/i.test(text)) throw wrongUrl(text, "names no folder by its whole path");
    const url = parseRegistryUrl(text);
    refuseOtherOptions(url, ["name"]);
    const folder = url.path.replace(/\/+$/, "");
    if (folder === "" || folder.includes("\0")) throw wrongUrl(text, "names no folder");
    const name = nameFor(url, taken);
    taken.set(name, true);
    named.set(name, { name, url: text, folder });
    if (named.size > foldersMax) throw wrongUrl(text, `is more than ${foldersMax} folders`);
  }
  return [...named.values()];
};

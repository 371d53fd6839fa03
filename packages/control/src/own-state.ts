/** What a control plane that ran alone left in its data folder. */
import type { Clock, Logger } from "@weft/core/world";
import { isReadable, readIfThere } from "@weft/net/files/files";
import { openKeyValueStore } from "@weft/net/sqlite/key-value-store";
import { isStored, joinTokensFile } from "./ca/join-tokens.ts";
import { createEmbeddedRegistry } from "./registries/embedded/registry.ts";
import { folderChanges } from "./store/folder-changes.ts";
import type { OwnState } from "./store/shared/take-over.ts";

export interface OwnStateOptions {
  readonly dataFolder: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Empty parts for what is not there. Throws WF2030 and WF2031 as opening it for its own use would. */
export const readOwnState = ({ dataFolder, clock, log }: OwnStateOptions): OwnState => {
  const registryFile = `${dataFolder}/registry.sqlite`;
  const addressesFile = `${dataFolder}/addresses.sqlite`;
  const changesFolder = `${dataFolder}/config`;
  const opened = <T>(
    file: string,
    read: (store: ReturnType<typeof openKeyValueStore>) => readonly T[],
  ): readonly T[] => {
    if (!isReadable(file)) return [];
    using store = openKeyValueStore(file);
    return read(store);
  };
  return {
    instances: opened(registryFile, (store) => createEmbeddedRegistry({ store, clock }).list()),
    changes: isReadable(changesFolder) ? folderChanges(changesFolder, log).load() : [],
    addresses: opened(addressesFile, (store) => [...store.load()]),
    tokens: readTokens(readIfThere(`${dataFolder}/ca/${joinTokensFile}`)),
  };
};

const readTokens = (text: string | undefined): OwnState["tokens"] => {
  try {
    const items: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(items) ? items.filter(isStored) : [];
  } catch {
    // Tokens are made anew in a moment; nothing else depends on them.
    return [];
  }
};

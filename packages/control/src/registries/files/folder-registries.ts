/** All folders that are registries, and several kinds of registries as one. */
import type { Collection, Graph } from "@weft/core/collection";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { EndpointRecord } from "../../model/service.ts";
import type { OutsideRegistries } from "../outside/outside-registries.ts";
import { createFolderRegistry } from "./folder-registry.ts";
import type { NamedFolder } from "./folder-url.ts";

/** The rank of the first folder; each further one has one more. So they come after what registers at weft, and before other registries. */
export const folderRank = 31;

export interface FolderRegistriesOptions {
  readonly folders: readonly NamedFolder[];
  readonly domain: string;
  readonly instances: Collection<EndpointRecord>;
  /** Where last good views are kept. */
  readonly folder: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export const createFolderRegistries = (graph: Graph, options: FolderRegistriesOptions): OutsideRegistries => {
  const registries = options.folders.map((named, at) =>
    createFolderRegistry(graph, { ...options, ...named, dataFolder: options.folder, rank: folderRank + at }),
  );
  return {
    views: registries.map(({ view }) => view),
    open: (changed) => {
      for (const registry of registries) registry.open(changed);
    },
    // They are read when they are opened.
    firstAnswers: () => Promise.resolve(),
    statuses: () => registries.map((registry) => registry.status()),
    findings: () => registries.flatMap((registry) => registry.findings()),
    [Symbol.dispose]: () => {
      for (const registry of registries) registry[Symbol.dispose]();
    },
  };
};

/** Both as one. */
export const beside = (one: OutsideRegistries, other: OutsideRegistries): OutsideRegistries => ({
  views: [...one.views, ...other.views],
  open: (changed) => {
    one.open(changed);
    other.open(changed);
  },
  firstAnswers: async () => void (await Promise.all([one.firstAnswers(), other.firstAnswers()])),
  statuses: () => [...one.statuses(), ...other.statuses()],
  findings: () => [...one.findings(), ...other.findings()],
  [Symbol.dispose]: () => {
    one[Symbol.dispose]();
    other[Symbol.dispose]();
  },
});

import { formatError } from "@weft/core/error";
import type { Logger } from "@weft/core/world";
import type { ResourceKind } from "@weft/xds/resource";
import { readFileResources } from "./file-resources.ts";
import type { ResourceOffer, ResourceStore } from "./resource-store.ts";

/** Calls `onText` with the content now and after every change or replacement, `onError` while it cannot be read. */
export type WatchFile = (path: string, onText: (text: string) => void, onError: (error: unknown) => void) => Disposable;

export interface FileSourceOptions {
  readonly path: string;
  readonly of: ResourceKind;
  /** Only these are taken; `*` takes all, and what the file no longer has is removed. */
  readonly names: () => ReadonlySet<string> | "*";
  readonly store: ResourceStore;
  readonly watch: WatchFile;
  readonly log: Logger;
  readonly onApplied: () => void;
}

/** Follows a file. Content that cannot be read leaves what is in force alone. */
export const followFile = (options: FileSourceOptions): Disposable & { readonly refresh: () => void } => {
  const { path, of, store, log } = options;
  const source = `path:${path}`;
  let last: readonly ResourceOffer[] = [];

  const offer = (): void => {
    const names = options.names();
    const wanted = names === "*" ? last : last.filter(({ name }) => names.has(name));
    const present = new Set(wanted.map(({ name }) => name));
    const gone =
      names !== "*"
        ? []
        : [...store.entries(of)].flatMap(([name, { active, warming }]) =>
            (active ?? warming)?.source === source && !present.has(name)
              ? [{ name, version: "", json: undefined }]
              : [],
          );
    const changed = wanted.filter(({ name, version }) => {
      const entry = store.entries(of).get(name);
      const current = entry?.warming ?? entry?.active;
      return current?.source !== source || current.version !== version;
    });
    if (changed.length + gone.length > 0) store.offer(source, of, [...changed, ...gone]);
    options.onApplied();
  };

  const watching = options.watch(
    path,
    (text) => {
      try {
        last = readFileResources(text, path, of);
        offer();
      } catch (error) {
        log.error("configuration file refused", { path, error: formatError(error) });
      }
    },
    (error) => log.error("configuration file cannot be read", { code: "WF3121", path, error: String(error) }),
  );
  return { refresh: offer, [Symbol.dispose]: () => watching[Symbol.dispose]() };
};

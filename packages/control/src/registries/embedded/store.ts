/** Where the embedded registry keeps its instances; the net layer has one on SQLite, tests one in memory. */
export interface RegistryStore {
  /** Everything kept, in any order. */
  load(): Iterable<StoredEntry>;
  /** Durable against the end of the process when it returns; all of it or nothing. */
  write(entries: readonly { readonly key: string; readonly value: string | undefined }[]): void;
}

export interface StoredEntry {
  readonly key: string;
  readonly value: string;
}

/** A store that forgets with the process. */
export const memoryStore = (entries: Map<string, string> = new Map()): RegistryStore => ({
  load: () => [...entries].map(([key, value]) => ({ key, value })),
  write(changes) {
    for (const { key, value } of changes) {
      if (value === undefined) entries.delete(key);
      else entries.set(key, value);
    }
  },
});

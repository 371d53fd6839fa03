/** Configuration changed over the API, in the shared store: every replica takes each change when the store tells of it. */
import type { Logger } from "@weft/core/world";
import {
  type ChangeAnswer,
  type ChangeOptions,
  type ChangePersistence,
  type ChangeWrite,
  type ConfigStore,
  type ConfigWriter,
  keyOf,
  type StoredChange,
} from "../config-store.ts";
import { parseChange } from "../folder-changes.ts";
import type { Seal } from "./seal.ts";
import type { SharedChange, SharedRecord } from "./shared-mirror.ts";
import {
  asSeen,
  isOfBefore,
  jsonOf,
  recordsPerWriteMax,
  type SharedStore,
  storeUnavailable,
  writeUntilDone,
} from "./shared-store.ts";
import { unstamped } from "./stamps.ts";

export interface SharedConfigOptions {
  readonly store: SharedStore;
  readonly seal: Seal;
  readonly log: Logger;
}

const group = "config";
/** Changed with every change: one after the other, so that no two objects get one age. */
export const configGuardKey = "meta/config";
/** etcd takes requests of 1.5 MiB. */
const writeBytesMax = 1024 * 1024;
/** So often objects are applied again that others changed meanwhile. */
const confirmsMax = 12;
/** Whoever reads the store must not read these. */
const sealedKinds: ReadonlySet<string> = new Set(["Secret"]);

const recordKey = (key: string): string => `${group}/${key}`;
const keyIn = (key: string): string => key.slice(group.length + 1);

const formOf = (stored: StoredChange, seal: Seal): string => {
  const text = JSON.stringify(stored);
  const isSealed = sealedKinds.has(stored.key.slice(0, stored.key.indexOf("/")));
  return isSealed ? JSON.stringify({ sealed: seal.close(recordKey(stored.key), text) }) : text;
};

/** A change as the store keeps it. */
export const changeRecord = (stored: StoredChange, seal: Seal): { readonly key: string; readonly value: string } => ({
  key: recordKey(stored.key),
  value: formOf(stored, seal),
});

const storedIn = (record: SharedRecord, { seal, log }: SharedConfigOptions): StoredChange | undefined => {
  try {
    const { sealed } = (jsonOf(record) ?? {}) as { sealed?: unknown };
    const change = parseChange(typeof sealed === "string" ? seal.open(record.key, sealed) : record.value);
    if (change?.key === keyIn(record.key)) return change;
    throw new Error("it is no such change");
  } catch (error) {
    log.error("a change in the shared store cannot be read and is left out", {
      code: "WF2208",
      key: record.key,
      error: String(error),
    });
    return undefined;
  }
};

/** What a start finds, and how an overtaken change is taken away. Nothing is stored through it otherwise. */
export const sharedPersistence = (options: SharedConfigOptions): ChangePersistence => {
  const { store, log } = options;
  return {
    isShared: true,
    load: () => [...store.group(group).values()].flatMap((record) => storedIn(record, options) ?? []),
    save: ({ key }) => {
      throw new Error(`${key} is not changed through the shared store`);
    },
    remove: (key) => {
      const seen = [asSeen(store, recordKey(key))];
      if (seen[0]?.revision === 0) return;
      store.write({ seen, deletes: [recordKey(key)] }).catch((error: unknown) => {
        log.error("an overtaken change is still stored", { code: "WF8508", object: key, error: String(error) });
      });
    },
  };
};

/** Writes changes to the store and takes those of all replicas into the configuration, until disposed. */
export const createSharedConfig = (options: SharedConfigOptions, config: ConfigStore): ConfigWriter & Disposable => {
  const { store, seal } = options;
  const following = store.follow(group, (changes) =>
    config.takeStored(changes.map((change) => writeOf(change, options))),
  );

  /** In parts where there are too many for one transaction; each part is whole. */
  const change = async <T>(run: () => T): Promise<T> => {
    let first: { readonly result: T } | undefined;
    for (;;) {
      const more = await writeUntilDone(store, () => {
        const { result, writes } = config.rehearse(run);
        first ??= { result };
        const part = firstPart(writes, seal);
        if (part.keys.length === 0) return { write: undefined, result: false };
        const seen = [asSeen(store, configGuardKey), ...part.keys.map((key) => asSeen(store, recordKey(key)))];
        const puts = [...part.puts, { key: configGuardKey, value: String(seen[0]?.revision ?? 0) }];
        return { write: { seen, puts, deletes: part.deletes }, result: part.keys.length < writes.length };
      });
      if (!more) return (first as { readonly result: T }).result;
    }
  };

  /** Applied as they are, which counts: in a store that has gone back they would go again as taken out. False: not all. */
  const confirm = async ({ items }: ChangeAnswer): Promise<boolean> => {
    const outcomes = items.map(async ({ result, ...item }) => {
      const key = recordKey(keyOf(item));
      const record = store.get(key);
      if (result !== "unchanged" || !record || !isOfBefore(store, key)) return true;
      const puts = [{ key, value: unstamped(record.value) }];
      return (await store.write({ seen: [{ key, revision: record.revision }], puts })).kind === "written";
    });
    return (await Promise.all(outcomes)).every((isDone) => isDone);
  };
  const apply = async (text: string, given: ChangeOptions): Promise<ChangeAnswer> => {
    let first: ChangeAnswer | undefined;
    for (let attempt = 0; attempt < confirmsMax; attempt++) {
      const answer = await change(() => config.apply(text, given));
      first ??= answer;
      if (await confirm(answer)) return first;
    }
    throw storeUnavailable("other replicas change the same records without end");
  };

  return {
    apply: (text, given) => (given.dryRun ? config.apply(text, given) : apply(text, given)),
    delete: (text, given) => (given.dryRun ? config.delete(text, given) : change(() => config.delete(text, given))),
    deleteOne: (key, dryRun) => (dryRun ? config.deleteOne(key, true) : change(() => config.deleteOne(key, false))),
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
};

const writeOf = ({ key, after }: SharedChange, options: SharedConfigOptions): ChangeWrite => ({
  key: keyIn(key),
  stored: after && storedIn(after, options),
});

const firstPart = (writes: readonly ChangeWrite[], seal: Seal) => {
  const puts: { key: string; value: string }[] = [];
  const deletes: string[] = [];
  const keys: string[] = [];
  let bytes = 0;
  for (const { key, stored } of new Map(writes.map((write) => [write.key, write])).values()) {
    const value = stored && formOf(stored, seal);
    bytes += key.length * 2 + (value?.length ?? 0) * 2;
    if (keys.length > 0 && (bytes > writeBytesMax || keys.length >= recordsPerWriteMax)) break;
    keys.push(key);
    if (value === undefined) deletes.push(recordKey(key));
    else puts.push({ key: recordKey(key), value });
  }
  return { puts, deletes, keys };
};

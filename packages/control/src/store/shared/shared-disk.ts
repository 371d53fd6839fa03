/** The last good view of the shared store in this replica's own data folder, for starts while the store is away. */
import type { Logger, SetTimer } from "@weft/core/world";
import type { KeyValueStore } from "@weft/net/sqlite/key-value-store";
import type { SharedList, SharedMirror } from "./shared-mirror.ts";

/** Changes are written together, at most this late: what is lost with the process is in the store. */
const writeDelayMs = 200;

const metaKey = "meta";
const recordPrefix = "record/";

/** `undefined` where nothing was kept, or it is of another store. */
export const loadShared = (disk: KeyValueStore, origin: string): SharedList | undefined => {
  const records: SharedList["records"][number][] = [];
  let isPart = false;
  let meta: { origin?: unknown; clusterId?: unknown; revision?: unknown } = {};
  for (const { key, value } of disk.load()) {
    const item = parsed(value);
    if (key === metaKey) meta = item;
    else if (typeof item.value === "string" && typeof item.revision === "number")
      records.push({
        ...{ key: key.slice(recordPrefix.length), value: item.value, revision: item.revision },
        ...(typeof item.leased === "boolean" ? { leased: item.leased } : {}),
      });
    else isPart = true;
  }
  const { clusterId, revision } = meta;
  if (meta.origin !== origin || typeof clusterId !== "string" || typeof revision !== "number") return undefined;
  return { clusterId, revision, records, ...(isPart ? { isPart } : {}) };
};

const parsed = (text: string): Readonly<Record<string, unknown>> => {
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
};

export interface SharedDiskOptions {
  readonly disk: KeyValueStore;
  /** Names the store: addresses may change, the prefix may not. */
  readonly origin: string;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** Writes what changes in the mirror until disposed, which writes the rest. */
export const keepShared = (mirror: SharedMirror, { disk, origin, setTimer, log }: SharedDiskOptions): Disposable => {
  const changed = new Set<string>();
  let timer: Disposable | undefined;
  let failed = false;
  const write = (): void => {
    timer = undefined;
    // A start must find that the store has gone back until that is mended.
    if (mirror.repair()) return;
    const meta = { origin, clusterId: mirror.clusterId(), revision: mirror.revision() };
    const entries = [...changed].map((key) => {
      const record = mirror.get(key);
      if (!record) return { key: recordPrefix + key, value: undefined };
      const { value, revision, leased } = record;
      return { key: recordPrefix + key, value: JSON.stringify({ value, revision, leased }) };
    });
    try {
      disk.write([...entries, { key: metaKey, value: JSON.stringify(meta) }]);
      changed.clear();
      failed = false;
    } catch (error) {
      if (!failed)
        log.error("the last good view of the shared store is not written", { code: "WF2206", error: String(error) });
      failed = true;
    }
  };
  mirror.onChange(({ key }) => {
    changed.add(key);
    timer ??= setTimer(write, writeDelayMs);
  });
  return {
    [Symbol.dispose]: () => {
      timer?.[Symbol.dispose]();
      write();
    },
  };
};

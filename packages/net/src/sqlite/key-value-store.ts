/**
 * Keys and values in one SQLite file, for what the control plane must find again: written in transactions to a
 * write-ahead log, so the end of the process at any moment loses nothing that `write` returned from.
 */
import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { WeftError } from "@weft/core/error";

export interface KeyValueStore extends Disposable {
  /** Throws WF2030 where the file is damaged. */
  /** One by one, so that all of it need not be in memory twice. Nothing may be written before the last was taken. */
  load(): Iterable<{ readonly key: string; readonly value: string }>;
  /** One transaction: all entries or none. `undefined` deletes. */
  write(entries: readonly { readonly key: string; readonly value: string | undefined }[]): void;
}

/** How long opening waits for another process that has the file: one that is just ending. */
const busyTimeoutMs = 2000;

/**
 * Opens or makes the file, readable by its owner only, and keeps every other process out until it is closed. Throws
 * WeftError WF2031 when another process has it, WF2030 when it is not such a database.
 */
export const openKeyValueStore = (path: string): KeyValueStore => {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    if (path !== ":memory:") chmodSync(path, 0o600);
    database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = NORMAL");
    database.exec(
      "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT",
    );
    return storeOn(database, path);
  } catch (cause) {
    database?.close();
    if (/database is locked/.test(String(cause))) {
      const next = "stop the other one, or give this one a folder of its own with --data";
      throw new WeftError("WF2031", `another control plane has ${path}`, { cause, next });
    }
    throw unusable(path, cause);
  }
};

const unusable = (path: string, cause: unknown): WeftError =>
  new WeftError("WF2030", `cannot open ${path} as a database: ${cause instanceof Error ? cause.message : cause}`, {
    cause,
    next: "check the directory's permissions, or move the file away to begin empty",
  });

const storeOn = (database: DatabaseSync, path: string): KeyValueStore => {
  const all = database.prepare("SELECT key, value FROM entries");
  const put = database.prepare(
    "INSERT INTO entries (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  );
  const drop = database.prepare("DELETE FROM entries WHERE key = ?");
  return {
    *load() {
      try {
        for (const { key, value } of all.iterate()) yield { key: String(key), value: String(value) };
      } catch (cause) {
        throw unusable(path, cause);
      }
    },
    write(entries) {
      if (entries.length === 0) return;
      database.exec("BEGIN IMMEDIATE");
      try {
        for (const { key, value } of entries) {
          if (value === undefined) drop.run(key);
          else put.run(key, value);
        }
        database.exec("COMMIT");
      } catch (error) {
        // A disk that is full ends the transaction by itself.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw error;
      }
    },
    [Symbol.dispose]: () => database.close(),
  };
};

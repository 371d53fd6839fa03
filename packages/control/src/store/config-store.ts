/**
 * The configuration objects in force: those of the watched folder with what was changed over the API on top. Whoever wrote
 * last wins: an API change holds until the object's text in the folder changes again.
 */
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { parseConfig } from "@weft/config/parse-config";
import type { Source } from "@weft/core/collection";
import { sameValue } from "@weft/core/equal";
import { formatPosition, type SourcePosition, WeftError } from "@weft/core/error";
import type { Logger } from "@weft/core/world";
import { contentHash } from "@weft/xds/content-hash";
import { type ConfigItem, configItem } from "../model/config-item.ts";
import { objectDocument } from "./object-document.ts";

/** A change made over the API, as it is kept over restarts. */
export interface StoredChange {
  readonly key: string;
  /** The object's document as JSON text; `undefined`: the folder's object is hidden. */
  readonly text: string | undefined;
  /** Hash of the folder's object when the change was made; empty: there was none. */
  readonly over: string;
  /** Decides age among objects without timestamps. */
  readonly order: number;
  /** Where the object was applied from, as the one who applied it calls that. */
  readonly source?: SourcePosition;
}

export interface ChangePersistence {
  readonly load: () => readonly StoredChange[];
  readonly save: (change: StoredChange) => void;
  readonly remove: (key: string) => void;
  /** Others keep changes there too, whose folders may not have what ours has. */
  readonly isShared?: boolean;
}

/** What a change would store: `undefined` takes the key away. */
export interface ChangeWrite {
  readonly key: string;
  readonly stored: StoredChange | undefined;
}

export type ChangeResult = "created" | "configured" | "unchanged" | "deleted" | "absent";
export interface AppliedObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly result: ChangeResult;
}

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/** Changes to the objects in force; where they go to other replicas first they take their time. */
export interface ConfigWriter {
  apply(text: string, options: ChangeOptions): ChangeAnswer | Promise<ChangeAnswer>;
  delete(text: string, options: ChangeOptions): ChangeAnswer | Promise<ChangeAnswer>;
  deleteOne(key: string, dryRun: boolean): ChangeResult | Promise<ChangeResult>;
}

export interface ConfigStore {
  /** Takes over the folder's files. An object that is no longer right stays as it last was. */
  setFiles(files: readonly ConfigFile[]): void;
  /** Nothing is taken when any object has an error, or cannot be stored (throws WF8507). */
  apply(text: string, options: ChangeOptions): ChangeAnswer;
  delete(text: string, options: ChangeOptions): ChangeAnswer;
  deleteOne(key: string, dryRun: boolean): ChangeResult;
  /** What is to be told of an object whose deletion only hides it, because a file of the folder has it. */
  hiding(key: string): Finding | undefined;
  get(key: string): ConfigObject | undefined;
  /** Runs changes, tells what they would store, and takes none of them. */
  rehearse<T>(run: () => T): { readonly result: T; readonly writes: readonly ChangeWrite[] };
  /** Takes changes that are stored already. */
  takeStored(writes: readonly ChangeWrite[]): void;
  /** In the order of their keys. */
  list(): readonly ConfigObject[];
  /** What is wrong with the folder's files, and which of its objects stay at their last good form. */
  findings(): readonly Finding[];
}

export interface ChangeOptions {
  /** What findings call the text. */
  readonly file: string;
  readonly dryRun: boolean;
}
export interface ChangeAnswer {
  readonly items: readonly AppliedObject[];
  readonly findings: readonly Finding[];
}

export interface ConfigStoreOptions {
  readonly source: Source<ConfigItem>;
  /** Called after each change of the source. */
  readonly commit: () => void;
  readonly persistence: ChangePersistence;
  readonly log: Logger;
}

/** Objects made over the API are younger than those of files where neither has a timestamp. */
const changeOrderBase = 1_000_000_000;

interface FileState {
  readonly text: string;
  readonly objects: readonly ConfigObject[];
  readonly findings: readonly Finding[];
}

interface Change {
  readonly stored: StoredChange;
  readonly object: ConfigObject | undefined;
}

export const createConfigStore = ({ source, commit, persistence, log }: ConfigStoreOptions): ConfigStore => {
  let files = new Map<string, FileState>();
  let fromFiles: ReadonlyMap<string, ConfigObject> = new Map();
  const changes = new Map<string, Change>();
  let nextOrder = changeOrderBase;
  let duplicates: readonly Finding[] = [];

  for (const stored of persistence.load()) {
    const object = stored.text === undefined ? undefined : restore(stored, log);
    if (stored.text !== undefined && !object) continue;
    changes.set(stored.key, { stored, object });
    nextOrder = Math.max(nextOrder, stored.order + 1);
  }

  const effective = (key: string): ConfigObject | undefined => {
    const change = changes.get(key);
    return change ? change.object : fromFiles.get(key);
  };
  const hashOf = (object: ConfigObject | undefined): string => (object ? contentHash(objectDocument(object)) : "");

  let rehearsed: ChangeWrite[] | undefined;
  const save = (stored: StoredChange): void => {
    if (rehearsed) rehearsed.push({ key: stored.key, stored });
    else persistence.save(stored);
  };
  const forget = (key: string): void => {
    if (rehearsed) rehearsed.push({ key, stored: undefined });
    else persistence.remove(key);
  };

  const publish = (): void => {
    if (rehearsed) return;
    const keys = new Set([...fromFiles.keys(), ...changes.keys()]);
    source.reset([...keys].flatMap((key) => effective(key) ?? []).map(configItem));
    commit();
  };

  /** Changes that the folder has caught up with, or has gone past, are forgotten. */
  const dropOvertaken = (): void => {
    for (const [key, { stored, object }] of changes) {
      const now = hashOf(fromFiles.get(key));
      // An object that left the folder (or whose file is just being replaced) takes no change along.
      if (now === "" && (object || persistence.isShared)) continue;
      if (now === stored.over && !(object && now === hashOf(object))) continue;
      changes.delete(key);
      try {
        persistence.remove(key);
      } catch (error) {
        log.error("an overtaken change is still stored", { code: "WF8508", object: key, error: String(error) });
      }
      if (now !== hashOf(object)) log.info("a file's newer text replaces a change made over the API", { object: key });
    }
  };

  const change = (key: string, object: ConfigObject | undefined): void => {
    const before = changes.get(key);
    const inFile = fromFiles.get(key);
    if (object ? hashOf(inFile) === hashOf(object) : !inFile) {
      changes.delete(key);
      if (before) forget(key);
      return;
    }
    const order = before?.stored.order ?? nextOrder++;
    const text = object && JSON.stringify(objectDocument(object));
    const origin = object && { source: object.source };
    const stored: StoredChange = { key, text, over: hashOf(inFile), order, ...origin };
    save(stored);
    changes.set(key, { stored, object: object && { ...object, creationOrder: inFile?.creationOrder ?? order } });
  };

  /** All of the changes, or none: what was stored before one could not be is put back as it was. */
  const together = <T>(run: () => T): T => {
    const before = new Map(changes);
    const order = nextOrder;
    try {
      return run();
    } catch (cause) {
      const touched = new Set([...before.keys(), ...changes.keys()]);
      for (const key of touched) if (before.get(key) !== changes.get(key)) putBack(key, before.get(key));
      changes.clear();
      for (const [key, change] of before) changes.set(key, change);
      nextOrder = order;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new WeftError("WF8507", `the change cannot be stored, so nothing was taken: ${reason}`, {
        next: "make room in the control plane's data folder, or make it writable, and try again",
        cause,
      });
    }
  };
  const putBack = (key: string, change: Change | undefined): void => {
    try {
      if (change) persistence.save(change.stored);
      else persistence.remove(key);
    } catch (error) {
      log.error("a change that was given up is still stored", { code: "WF8508", object: key, error: String(error) });
    }
  };

  const hiding = (key: string): Finding | undefined => {
    const object = fromFiles.get(key);
    if (!object) return undefined;
    const { kind, namespace, name, source: at } = object;
    const { file, line, column } = at;
    const message = `${kind} ${namespace}/${name} is still at ${formatPosition(at)}: deleted, it stays hidden until that text changes`;
    return { code: "WF8010", level: "warning", message, kind, namespace, name, file, line, column, also: [] };
  };

  const remove = (key: string, dryRun: boolean): ChangeResult => {
    if (!effective(key)) return "absent";
    if (!dryRun) change(key, undefined);
    return "deleted";
  };

  return {
    setFiles(given) {
      files = readFiles(files, given, log);
      const all = [...files.values()].flatMap(({ objects }) => objects);
      const known = new Set(duplicates.map(({ message }) => message));
      duplicates = duplicatesIn(all);
      for (const { code, message, file, line, column } of duplicates)
        if (!known.has(message)) log.error(message, { code, at: `${file}:${line}:${column}` });
      fromFiles = new Map(all.toReversed().map((object) => [keyOf(object), object]));
      dropOvertaken();
      publish();
    },
    apply(text, { file, dryRun }) {
      const { objects, findings: reading } = parseConfig(text, file);
      const findings = [...reading, ...duplicatesIn(objects)];
      if (findings.some(({ level }) => level === "error")) return { items: [], findings };
      const items = together(() =>
        objects.map((object): AppliedObject => {
          const before = effective(keyOf(object));
          const result = !before ? "created" : sameObject(before, object) ? "unchanged" : "configured";
          if (!dryRun && result !== "unchanged") change(keyOf(object), object);
          return { ...facts(object), result };
        }),
      );
      if (!dryRun) publish();
      return { items, findings };
    },
    delete(text, { file, dryRun }) {
      const { objects, findings } = parseConfig(text, file);
      if (findings.some(({ level }) => level === "error")) return { items: [], findings };
      const items = together(() =>
        objects.map((object) => ({ ...facts(object), result: remove(keyOf(object), dryRun) })),
      );
      if (!dryRun) publish();
      const deleted = items.filter(({ result }) => result === "deleted");
      return { items, findings: [...findings, ...deleted.flatMap((item) => hiding(keyOf(item)) ?? [])] };
    },
    deleteOne(key, dryRun) {
      const result = together(() => remove(key, dryRun));
      if (!dryRun && result === "deleted") publish();
      return result;
    },
    hiding,
    get: effective,
    rehearse(run) {
      const before = new Map(changes);
      const order = nextOrder;
      rehearsed = [];
      try {
        const result = run();
        return { result, writes: rehearsed };
      } finally {
        rehearsed = undefined;
        changes.clear();
        for (const [key, change] of before) changes.set(key, change);
        nextOrder = order;
      }
    },
    takeStored(writes) {
      for (const { key, stored } of writes) {
        const object = stored?.text === undefined ? undefined : restore(stored, log);
        if (!stored || (stored.text !== undefined && !object)) changes.delete(key);
        else changes.set(key, { stored, object });
        nextOrder = Math.max(nextOrder, (stored?.order ?? 0) + 1);
      }
      dropOvertaken();
      publish();
    },
    list: () => [...new Set([...fromFiles.keys(), ...changes.keys()])].sort().flatMap((key) => effective(key) ?? []),
    findings: () => [
      ...[...files.values()].flatMap(({ findings }) => findings),
      ...duplicates,
      ...[...changes].flatMap(([key, { object }]) => (object ? [] : (hiding(key) ?? []))),
    ],
  };
};

export const keyOf = ({ kind, namespace, name }: Omit<AppliedObject, "result">): string =>
  `${kind}/${namespace}/${name}`;

/** Of several objects with one name the first is in force; each of the others is a finding. */
const duplicatesIn = (objects: readonly ConfigObject[]): readonly Finding[] =>
  [...Map.groupBy(objects, keyOf).values()].flatMap(([first, ...others]) =>
    others.map(({ kind, namespace, name, source: { file, line, column } }): Finding => {
      const message = `${kind} ${namespace}/${name} is already defined at ${first ? formatPosition(first.source) : ""}`;
      return { code: "WF1105", level: "error", message, kind, namespace, name, file, line, column, also: [] };
    }),
  );

const facts = ({ kind, namespace, name }: ConfigObject) => ({ kind, namespace, name });

const sameObject = (a: ConfigObject, b: ConfigObject): boolean => sameValue(objectDocument(a), objectDocument(b));

const restore = (stored: StoredChange, log: Logger): ConfigObject | undefined => {
  const { objects } = parseConfig(stored.text ?? "", `api:${stored.key}`, stored.order);
  const [object] = objects;
  if (!object) log.error("a stored object cannot be read any more and is left out", { object: stored.key });
  const { source } = stored;
  return object && source ? { ...object, source, positionOf: () => source } : object;
};

/** Reads what changed; where a text is wrong, the objects it no longer gives stay as they were. */
const readFiles = (
  before: ReadonlyMap<string, FileState>,
  given: readonly ConfigFile[],
  log: Logger,
): Map<string, FileState> => {
  const after = new Map<string, FileState>();
  let order = 0;
  for (const { path, text } of given) {
    const known = before.get(path);
    const state = known?.text === text ? known : readFile(path, text, known, log);
    after.set(path, { ...state, objects: state.objects.map((object, i) => reordered(object, order + i)) });
    order += state.objects.length;
  }
  return after;
};

const reordered = (object: ConfigObject, creationOrder: number): ConfigObject =>
  object.creationOrder === creationOrder ? object : { ...object, creationOrder };

const readFile = (path: string, text: string, known: FileState | undefined, log: Logger): FileState => {
  const { objects, findings } = parseConfig(text, path);
  const errors = findings.filter(({ level }) => level === "error");
  for (const { code, line, column, message } of errors) log.error(message, { code, at: `${path}:${line}:${column}` });
  if (errors.length === 0 || !known) return { text, objects, findings };
  const present = new Set(objects.map(keyOf));
  const wrong = new Set(errors.map((error) => `${error.kind}/${error.namespace}/${error.name}`));
  const unnamed = errors.some(({ name }) => name === "");
  const kept = known.objects.filter((object) => {
    const key = keyOf(object);
    return !present.has(key) && (unnamed || wrong.has(key));
  });
  for (const object of kept)
    log.warn("the last good form of an object stays in force", { object: keyOf(object), file: path });
  return { text, objects: [...objects, ...kept], findings };
};

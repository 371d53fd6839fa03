/**
 * The objects of one kind as they are in force. What a watch tells is believed at once; what is only missing from a list
 * is kept for a while: all of it for the kinds endpoints come from, for configuration where the list is not to be
 * trusted: it went back in time, is empty, or lacks more than half. Pure: the time is an argument.
 */
import { sameValue } from "@weft/core/equal";
import type { KubernetesObject } from "./kubernetes-object.ts";
import { collectionObjectsMax } from "./reflector.ts";

/** How long what is missing is kept. It runs only while the collection is heard. */
export const holdMs = 5 * 60_000;

export type HoldRule = "all" | "distrusted";

export interface ObjectTable {
  /** `leftOut`: so many more are there, and were not even read. */
  listed(objects: readonly KubernetesObject[], older: boolean, nowMs: number, leftOut?: number): void;
  put(object: KubernetesObject): void;
  removed(key: string): void;
  /** The collection is heard, or is not: the clock of what is held stands still without it. */
  heard(live: boolean, nowMs: number): void;
  /** Lets go what was held long enough. */
  tick(nowMs: number): void;
  deadlineMs(nowMs: number): number | undefined;
  get(key: string): InForce | undefined;
  entries(): IterableIterator<[string, InForce]>;
  readonly size: () => number;
  readonly heldCount: () => number;
  /** So many objects, at least, are there and not taken, as there are too many. */
  readonly leftOut: () => number;
  /** Keys that changed, and of what a list replaced: the form before it. Since this was last asked; they are the caller's. */
  takeChanges(): Map<string, TableChange>;
  /** Fills it with what was kept over a restart. */
  restore(objects: readonly KubernetesObject[]): void;
}

export interface InForce {
  readonly object: KubernetesObject;
  /** Missing from the list, and kept for now. */
  readonly held: boolean;
}

export interface TableChange {
  /** What a list had in another form than it was known; `undefined` where an event told the change. */
  readonly listedOver: KubernetesObject | undefined;
}

/** `NAMESPACE/NAME`, with no namespace before the slash where a kind has none. */
export const objectKey = ({ metadata }: KubernetesObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;

/** Which objects were left out since the last list is known of so many. */
const leftOutKeysMax = 10_000;

export const createObjectTable = (rule: HoldRule, objectsMax = collectionObjectsMax): ObjectTable => {
  const objects = new Map<string, KubernetesObject>();
  /** Key → when it ends on the clock below; in the order of the ends. */
  const holds = new Map<string, number>();
  let changes = new Map<string, TableChange>();
  let leftOutOfList = 0;
  const leftOutSince = new Set<string>();
  let live = false;
  let livedMs = 0;
  let liveSinceMs = 0;
  const heardMs = (now: number): number => (live ? livedMs + (now - liveSinceMs) : livedMs);
  const note = (key: string, listedOver?: KubernetesObject): void => {
    changes.set(key, { listedOver });
  };
  const drop = (key: string): void => {
    holds.delete(key);
    if (objects.delete(key)) note(key);
  };
  const set = (key: string, object: KubernetesObject, over?: KubernetesObject): void => {
    holds.delete(key);
    objects.set(key, object);
    note(key, over);
  };
  /** What is in force stays in force, so a new one has to find room beside it. */
  const hasRoom = (key: string): boolean => {
    if (objects.has(key) || objects.size - holds.size < objectsMax) return true;
    if (leftOutSince.size < leftOutKeysMax) leftOutSince.add(key);
    return false;
  };
  const heard = (now: boolean, nowMs: number): void => {
    if (now === live) return;
    livedMs = heardMs(nowMs);
    liveSinceMs = nowMs;
    live = now;
  };
  return {
    listed(given, older, nowMs, leftOut = 0) {
      heard(true, nowMs);
      const present = new Set<string>();
      const fresh: KubernetesObject[] = [];
      for (const object of given) {
        const key = objectKey(object);
        present.add(key);
        const before = objects.get(key);
        if (!before) fresh.push(object);
        // A server that went back counts the same versions again, so they say nothing here.
        else if (holds.has(key) || !sameValue(before, object)) set(key, object, before);
      }
      const missing = [...objects.keys()].filter((key) => !present.has(key));
      const known = objects.size - holds.size;
      const newlyMissing = missing.filter((key) => !holds.has(key));
      const hold = rule === "all" || older || given.length === 0 || 2 * newlyMissing.length > known;
      for (const key of newlyMissing) {
        if (!hold) drop(key);
        else {
          holds.set(key, heardMs(nowMs) + holdMs);
          note(key);
        }
      }
      leftOutSince.clear();
      leftOutOfList = leftOut;
      for (const object of fresh) {
        const key = objectKey(object);
        if (objects.size - holds.size < objectsMax) set(key, object);
        else leftOutOfList++;
      }
    },
    put(object) {
      const key = objectKey(object);
      if (!hasRoom(key)) return;
      leftOutSince.delete(key);
      set(key, object);
    },
    removed(key) {
      leftOutSince.delete(key);
      drop(key);
    },
    heard,
    tick(nowMs) {
      if (!live) return;
      for (const [key, endsMs] of holds) {
        if (endsMs > heardMs(nowMs)) break;
        drop(key);
      }
    },
    deadlineMs(nowMs) {
      const [first] = holds.values();
      return first === undefined || !live ? undefined : nowMs + Math.max(0, first - heardMs(nowMs));
    },
    get: (key) => {
      const object = objects.get(key);
      return object && { object, held: holds.has(key) };
    },
    *entries() {
      for (const [key, object] of objects) yield [key, { object, held: holds.has(key) }];
    },
    size: () => objects.size,
    heldCount: () => holds.size,
    // What changed since may have been counted with the list already.
    leftOut: () => Math.max(leftOutOfList, leftOutSince.size),
    takeChanges() {
      const taken = changes;
      changes = new Map();
      return taken;
    },
    restore(given) {
      for (const object of given) set(objectKey(object), object);
    },
  };
};

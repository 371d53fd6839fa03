/**
 * What came back with an older state of the shared store though its end was told here: taken out, or replaced before that,
 * by somebody, while this replica listened. Only what the store itself told as it happened counts; that a record is not in
 * a list says nothing. Pure.
 */
import { isLeased } from "./gone-back.ts";
import type { SharedRecord } from "./shared-mirror.ts";
import { createEndedStamps } from "./stamps.ts";

export interface Returned {
  /** As the store has told it in order: `over`, if anything, is no more, and `after` is there. */
  changed(key: string, over: SharedRecord | undefined, after: SharedRecord | undefined): void;
  /** The store was read; `backFrom` has what was known where it has gone back. */
  listed(list: ReadonlyMap<string, SharedRecord>, backFrom: ((key: string) => unknown) | undefined): void;
  /** By key, as the older state had them; what was written since is not among them. */
  all(): ReadonlyMap<string, SharedRecord>;
  /** They are there and count. */
  accept(): void;
}

/**
 * An instance that need not be renewed, or an object: whoever wants either registers or applies it, which writes it anew.
 * One that has to be renewed goes by itself, and nobody but its lease can say whether it lives; of what hides an object
 * of the folder, or is sealed, nobody says so.
 */
const isPlain = ({ value }: SharedRecord): boolean => {
  try {
    const { instance, text } = (JSON.parse(value) ?? {}) as {
      readonly instance?: { readonly ttlSeconds?: unknown };
      readonly text?: unknown;
    };
    return typeof text === "string" || instance?.ttlSeconds === 0;
  } catch {
    return false;
  }
};

export const createReturned = (): Returned => {
  const ended = createEndedStamps();
  const returned = new Map<string, SharedRecord>();
  return {
    changed(key, over, after) {
      returned.delete(key);
      if (over && over.value !== after?.value) ended.add(over);
      if (after) ended.delete(after);
    },
    listed(list, backFrom) {
      for (const [key, { value, revision }] of returned) {
        const there = list.get(key);
        if (there?.value !== value || there.revision !== revision) returned.delete(key);
      }
      for (const [key, record] of list) {
        if (returned.has(key) || !ended.has(record)) continue;
        const came = backFrom !== undefined && backFrom(key) === undefined && !isLeased(record) && isPlain(record);
        if (came) returned.set(key, record);
        else ended.delete(record);
      }
    },
    all: () => returned,
    accept() {
      for (const record of returned.values()) ended.delete(record);
      returned.clear();
    },
  };
};

/**
 * The embedded registry for many who register at once: a change that comes alone goes at once, those that come close behind
 * are kept by one write and shown by one commit. Each is answered after it was kept, so whoever was told that it is registered is so after any end of the process.
 */
import type { SetTimer } from "@weft/core/world";
import type { EmbeddedRegistry, RegistryBook } from "./registry.ts";

/** So long after a write the next change waits for others. */
export const groupMs = 4;
/** So many more that came meanwhile show a crowd, for which it waits once more: a write and its commit cost all of them once. */
export const crowdMin = 2;
/** How often it waits at most. */
export const waitsMax = 6;
/** A group that is so large waits no longer. */
export const groupMax = 500;

interface Waiting {
  readonly run: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

export const createGroupedRegistry = (registry: EmbeddedRegistry, setTimer: SetTimer): RegistryBook & Disposable => {
  let waiting: Waiting[] = [];
  let timer: Disposable | undefined;
  let known = 0;
  let waits = 0;

  const flush = (): void => {
    const group = waiting;
    waiting = [];
    known = 0;
    waits = 0;
    if (group.length === 0) return;
    try {
      const outcomes = registry.together(() => group.map(({ run }) => outcomeOf(run)));
      for (const [at, outcome] of outcomes.entries()) {
        if ("error" in outcome) group[at]?.reject(outcome.error);
        else group[at]?.resolve(outcome.value);
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  };
  const wait = (): void => {
    timer = setTimer(() => {
      timer = undefined;
      if (waiting.length === 0) return;
      const came = waiting.length - known;
      known = waiting.length;
      waits++;
      if (waits >= waitsMax || came <= crowdMin) flush();
      wait();
    }, groupMs);
  };
  const later = <T>(run: () => T): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      waiting.push({ run, resolve: resolve as (value: unknown) => void, reject });
      if (waiting.length >= groupMax || !timer) flush();
      if (!timer) wait();
    });
  return {
    get: registry.get,
    list: registry.list,
    version: registry.version,
    watch: registry.watch,
    // One that is held is live again, which is a change.
    heartbeat: (ref) => {
      const isHeld = registry.get(ref)?.heldUntil !== undefined;
      return isHeld ? later(() => registry.heartbeat(ref)) : registry.heartbeat(ref);
    },
    put: (...args) => later(() => registry.put(...args)),
    remove: (...args) => later(() => registry.remove(...args)),
    [Symbol.dispose]: () => {
      timer?.[Symbol.dispose]();
      flush();
    },
  };
};

/** A refusal is one of this change alone. */
const outcomeOf = (run: () => unknown): Outcome => {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
};

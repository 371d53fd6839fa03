/**
 * The embedded registry for many who register at once: changes that come close together are kept by one write and shown by
 * one commit. Each is answered after it was kept, so whoever was told that it is registered is so after any end of the process.
 */
import type { SetTimer } from "@weft/core/world";
import type { EmbeddedRegistry, RegistryBook } from "./registry.ts";

/** How long the first of a group waits for others. */
export const groupMs = 4;
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

  const flush = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    const group = waiting;
    waiting = [];
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
  const later = <T>(run: () => T): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      waiting.push({ run, resolve: resolve as (value: unknown) => void, reject });
      if (waiting.length >= groupMax) flush();
      else timer ??= setTimer(flush, groupMs);
    });
  return {
    get: registry.get,
    list: registry.list,
    version: registry.version,
    watch: registry.watch,
    heartbeat: registry.heartbeat,
    put: (...args) => later(() => registry.put(...args)),
    remove: (...args) => later(() => registry.remove(...args)),
    [Symbol.dispose]: flush,
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

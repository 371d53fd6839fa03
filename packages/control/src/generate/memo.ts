/**
 * Results kept by name. While the inputs are the same objects the result is the same object; when they differ but the
 * result comes out equal, the old object stays, so what is cached per object (its encoding) holds on.
 */
import { sameValue } from "@weft/core/equal";

export interface Memo {
  /**
   * `name` and `inputs` must together hold everything that `make` reads; inputs are compared by identity. Each name
   * has one result at a time, so what differs between clients belongs into the name.
   */
  of<T>(name: string, inputs: readonly unknown[], make: () => T): T;
  /** What `of` was asked for while `make` ran, for whoever knows of what `make` gave that it holds. */
  taken<T>(make: () => T): { readonly value: T; readonly kept: Kept };
  /** As if all of them were asked for. */
  keep(kept: Kept): void;
  /** Forgets what was not asked for since the sweep before. */
  sweep(): void;
}

export type Kept = readonly Entry[];

interface Entry {
  readonly value: unknown;
  inputs: readonly unknown[];
  usedAt: number;
}

const sameInputs = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
};

export const createMemo = (): Memo => {
  const entries = new Map<string, Entry>();
  let round = 0;
  let takers: Entry[] | undefined;
  const use = (entry: Entry): void => {
    entry.usedAt = round;
    takers?.push(entry);
  };
  return {
    of<T>(name: string, inputs: readonly unknown[], make: () => T): T {
      const known = entries.get(name);
      if (known && sameInputs(known.inputs, inputs)) {
        use(known);
        return known.value as T;
      }
      const made = make();
      if (known && sameValue(known.value, made)) {
        known.inputs = inputs;
        use(known);
        return known.value as T;
      }
      const entry: Entry = { inputs, value: made, usedAt: round };
      entries.set(name, entry);
      use(entry);
      return made;
    },
    taken(make) {
      const outer = takers;
      const kept: Entry[] = [];
      takers = kept;
      try {
        return { value: make(), kept };
      } finally {
        takers = outer;
        if (outer) outer.push(...kept);
      }
    },
    keep(kept) {
      for (const entry of kept) entry.usedAt = round;
    },
    sweep() {
      for (const [name, { usedAt }] of entries) if (usedAt < round) entries.delete(name);
      round++;
    },
  };
};

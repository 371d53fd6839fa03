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
  /** Forgets what was not asked for since the sweep before. */
  sweep(): void;
}

interface Entry {
  readonly inputs: readonly unknown[];
  readonly value: unknown;
}

const sameInputs = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((input, i) => Object.is(input, b[i]));

export const createMemo = (): Memo => {
  let recent = new Map<string, Entry>();
  let older = new Map<string, Entry>();
  return {
    of<T>(name: string, inputs: readonly unknown[], make: () => T): T {
      const known = recent.get(name) ?? older.get(name);
      if (known && sameInputs(known.inputs, inputs)) {
        recent.set(name, known);
        return known.value as T;
      }
      const made = make();
      const value = known && sameValue(known.value, made) ? known.value : made;
      recent.set(name, { inputs, value });
      return value as T;
    },
    sweep() {
      older = recent;
      recent = new Map();
    },
  };
};

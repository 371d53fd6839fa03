/** One secret for all replicas, sealed in the shared store: who comes first makes it, the others take it. */
import type { Seal } from "./seal.ts";
import { asSeen, type SharedStore } from "./shared-store.ts";

export interface SharedSecretOptions {
  readonly store: Pick<SharedStore, "get" | "write">;
  readonly seal: Seal;
  readonly key: string;
  /** Whether the one there is will do. */
  readonly isGood: (text: string) => boolean;
  readonly make: () => string | Promise<string>;
}

const attemptsMax = 8;

/** Throws WF2204 where the store's key does not open it; rejects with 503 where one has to be made and cannot be stored. */
export const sharedSecret = async (options: SharedSecretOptions): Promise<string> => {
  const { store, seal, key, isGood, make } = options;
  for (let attempt = 0; ; attempt++) {
    const record = store.get(key);
    const known = record && seal.open(key, record.value);
    if (known !== undefined && (isGood(known) || attempt === attemptsMax)) return known;
    const seen = [asSeen(store, key)];
    const made = await make();
    const outcome = await store.write({ seen, puts: [{ key, value: seal.close(key, made) }] });
    if (outcome.kind === "written") return made;
  }
};

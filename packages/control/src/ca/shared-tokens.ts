/** Join tokens in the shared store: a use is taken by comparing first, so that of several replicas exactly one takes the last. */
import { WeftError } from "@weft/core/error";
import { asSeen, jsonOf, type SharedStore, writeUntilDone } from "../store/shared/shared-store.ts";
import { caLimits } from "./ca-limits.ts";
import { checkRange, checkToken, infoOf, isStored, newToken, type StoredToken, type TokenBook } from "./join-tokens.ts";

export interface SharedTokensOptions {
  readonly store: SharedStore;
  readonly randomBytes: (size: number) => Buffer;
}

const group = "tokens";

/**
 * While the store is away, tokens without a count are taken as last known, for nothing has to be written; those with a
 * count are refused until it is back.
 */
export const openSharedTokens = ({ store, randomBytes }: SharedTokensOptions): TokenBook => {
  const keyOf = (id: string): string => `${group}/${id}`;
  const find = (id: string): StoredToken | undefined => {
    const record = store.get(keyOf(id));
    const item = record && jsonOf(record);
    if (!isStored(item) || item.id !== id) return undefined;
    return { ...item, namespace: item.namespace, serviceAccount: item.serviceAccount };
  };
  const all = (): readonly StoredToken[] =>
    [...store.group(group).keys()].flatMap((key) => find(key.slice(group.length + 1)) ?? []);

  return {
    async create(wanted, nowMs) {
      const { ttlMs = caLimits.tokenTtlDefaultMs, uses = caLimits.tokenUsesDefault } = wanted;
      checkRange(ttlMs, uses);
      const { size } = store.group(group);
      if (size >= caLimits.tokensMax)
        throw new WeftError("WF7116", `there are ${size} join tokens already`, { next: "revoke some" });
      const { namespace, serviceAccount } = wanted;
      const made = newToken({ expiresMs: nowMs + ttlMs, uses, namespace, serviceAccount }, randomBytes);
      const key = keyOf(made.stored.id);
      // The store forgets it when nobody could use it any more.
      const lease = await store.grant(Math.ceil(ttlMs / 1000) + 60);
      const value = JSON.stringify({ ...made.stored, lease });
      await writeUntilDone(store, () => ({
        write: { seen: [asSeen(store, key)], puts: [{ key, value, lease }] },
        result: undefined,
      }));
      return { token: made.token, info: infoOf(made.stored) };
    },
    check: (token, nowMs) => checkToken(token, find, nowMs),
    async wait(token, nowMs) {
      const known = checkToken(token, find, nowMs);
      const id = /^weft\.([0-9a-f]{16})\./.exec(token)?.[1];
      if (known || id === undefined || store.get(keyOf(id))) return known;
      await store.appears(keyOf(id));
      return checkToken(token, find, nowMs);
    },
    async use(id) {
      const key = keyOf(id);
      return await writeUntilDone(store, () => {
        const found = find(id);
        if (!found || found.uses === 0) return { write: undefined, result: false };
        const seen = [asSeen(store, key)];
        // Nothing is written; that it is still there is what counts, and while the store is away its last word.
        if (found.uses === "unlimited") return { write: store.status().connected ? { seen } : undefined, result: true };
        if (found.uses === 1) return { write: { seen, deletes: [key] }, result: true };
        const { lease } = found as StoredToken & { readonly lease?: string };
        const value = JSON.stringify({ ...found, uses: found.uses - 1 });
        return { write: { seen, puts: [{ key, value, lease }] }, result: true };
      });
    },
    async revoke(id) {
      const key = keyOf(id);
      return await writeUntilDone(store, () => {
        const isThere = store.get(key) !== undefined;
        const write = isThere ? { seen: [asSeen(store, key)], deletes: [key] } : undefined;
        return { write, result: isThere };
      });
    },
    list: (nowMs) =>
      all()
        .filter(({ expiresMs, uses }) => expiresMs > nowMs && uses !== 0)
        .map(infoOf),
  };
};

/**
 * Join tokens: what a workload shows that has no certificate yet. Only hashes are stored, so who reads the store can
 * join nobody. A token is `weft.ID.SECRET`; the id finds it, the secret is compared in constant time.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { WeftError } from "@weft/core/error";
import type { Later } from "../registries/embedded/registry.ts";
import { caLimits } from "./ca-limits.ts";
import type { CaStore } from "./ca-store.ts";

export interface TokenGrant {
  /** How many certificates it can be shown for. */
  readonly uses: number | "unlimited";
  /** Only identities of this namespace, this service account. Absent: any. */
  readonly namespace: string | undefined;
  readonly serviceAccount: string | undefined;
}

export interface NewToken extends Partial<TokenGrant> {
  readonly ttlMs?: number;
}

/** What may be shown of a token. */
export interface TokenInfo extends TokenGrant {
  readonly id: string;
  readonly expiresMs: number;
}

export interface JoinTokens {
  /** The token itself, stored nowhere. Throws WF7115 for values out of range, WF7116 when there are too many. */
  create(token: NewToken, nowMs: number): { readonly token: string; readonly info: TokenInfo };
  /** What the token allows, without using it up; `undefined` when it is unknown, expired or used up. */
  check(token: string, nowMs: number): TokenInfo | undefined;
  /** Takes one use of a token that was just checked; false: there was none left. */
  use(id: string): boolean;
  revoke(id: string): boolean;
  list(nowMs: number): readonly TokenInfo[];
}

/** Join tokens as those who use them see them: a change may have to go to other replicas first. */
export interface TokenBook extends Pick<JoinTokens, "check" | "list"> {
  create(token: NewToken, nowMs: number): Later<ReturnType<JoinTokens["create"]>>;
  use(id: string): Later<boolean>;
  revoke(id: string): Later<boolean>;
  /** As `check`, but a token that another replica has just made is waited for. */
  wait?(token: string, nowMs: number): Promise<TokenInfo | undefined>;
}

export interface StoredToken extends TokenInfo {
  readonly secretHash: string;
}
type Stored = StoredToken;

export const joinTokensFile = "join-tokens.json";
const prefix = "weft";

const hashOf = (secret: string): Buffer => createHash("sha256").update(secret).digest();

export interface JoinTokensOptions {
  readonly store: CaStore;
  readonly randomBytes: (size: number) => Buffer;
}

/** Throws WF7120 when the store's text is not what was written there. */
export const openJoinTokens = ({ store, randomBytes }: JoinTokensOptions): JoinTokens => {
  const tokens = load(store);
  const save = (): void => store.write(joinTokensFile, JSON.stringify([...tokens.values()]));
  const prune = (nowMs: number): void => {
    for (const [id, { expiresMs, uses }] of tokens) if (expiresMs <= nowMs || uses === 0) tokens.delete(id);
  };

  return {
    create: (wanted, nowMs) => {
      const {
        ttlMs = caLimits.tokenTtlDefaultMs,
        uses = caLimits.tokenUsesDefault,
        namespace,
        serviceAccount,
      } = wanted;
      checkRange(ttlMs, uses);
      prune(nowMs);
      if (tokens.size >= caLimits.tokensMax) {
        throw new WeftError("WF7116", `there are ${tokens.size} join tokens already`, { next: "revoke some" });
      }
      const { token, stored } = newToken({ expiresMs: nowMs + ttlMs, uses, namespace, serviceAccount }, randomBytes);
      tokens.set(stored.id, stored);
      save();
      return { token, info: infoOf(stored) };
    },
    check: (token, nowMs) => checkToken(token, (id) => tokens.get(id), nowMs),
    use: (id) => {
      const found = tokens.get(id);
      if (!found || found.uses === 0) return false;
      if (found.uses === "unlimited") return true;
      tokens.set(id, { ...found, uses: found.uses - 1 });
      save();
      return true;
    },
    revoke: (id) => {
      const found = tokens.delete(id);
      if (found) save();
      return found;
    },
    list: (nowMs) => {
      prune(nowMs);
      return [...tokens.values()].map(infoOf);
    },
  };
};

/** A token of random parts, and what is kept of it. */
export const newToken = (
  grant: Omit<TokenInfo, "id">,
  randomBytes: (size: number) => Buffer,
): { readonly token: string; readonly stored: StoredToken } => {
  const id = randomBytes(8).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  return { token: `${prefix}.${id}.${secret}`, stored: { id, ...grant, secretHash: hashOf(secret).toString("hex") } };
};

/** What the token allows; `undefined` when it is unknown, expired or used up. */
export const checkToken = (
  token: string,
  find: (id: string) => StoredToken | undefined,
  nowMs: number,
): TokenInfo | undefined => {
  const [start, id = "", secret = "", ...rest] = token.split(".", 4);
  const found = find(id);
  // A comparison is made also where there is nothing to compare with, so that its time tells nothing.
  const matches = timingSafeEqual(hashOf(secret), found ? Buffer.from(found.secretHash, "hex") : hashOf(""));
  if (!found || !matches || start !== prefix || rest.length > 0) return undefined;
  return found.expiresMs > nowMs && found.uses !== 0 ? infoOf(found) : undefined;
};

export const infoOf = ({ id, expiresMs, uses, namespace, serviceAccount }: Stored): TokenInfo => ({
  id,
  expiresMs,
  uses,
  namespace,
  serviceAccount,
});

/** Throws WF7115 for values out of range. */
export const checkRange = (ttlMs: number, uses: number | "unlimited"): void => {
  if (!(ttlMs > 0 && ttlMs <= caLimits.tokenTtlMaxMs)) {
    throw new WeftError("WF7115", "a join token lives more than 0 s and at most 366 days", {
      next: "give another ttl",
    });
  }
  if (uses !== "unlimited" && !(Number.isInteger(uses) && uses > 0 && uses <= caLimits.tokenUsesMax)) {
    throw new WeftError("WF7115", `a join token has 1 to ${caLimits.tokenUsesMax} uses`, {
      next: "give another number",
    });
  }
};

const load = (store: CaStore): Map<string, Stored> => {
  const text = store.read(joinTokensFile);
  if (text === undefined) return new Map();
  try {
    const items: unknown = JSON.parse(text);
    if (!Array.isArray(items) || !items.every(isStored)) throw new Error("it has another shape");
    return new Map(
      items.map((item) => [item.id, { ...item, namespace: item.namespace, serviceAccount: item.serviceAccount }]),
    );
  } catch (error) {
    throw new WeftError(
      "WF7120",
      `${joinTokensFile} cannot be read: ${error instanceof Error ? error.message : error}`,
      {
        next: `remove ${joinTokensFile}; tokens given out before will no longer be taken`,
        cause: error,
      },
    );
  }
};

export const isStored = (item: unknown): item is Stored => {
  const { id, secretHash, expiresMs, uses, namespace, serviceAccount } = (item ?? {}) as Partial<
    Record<string, unknown>
  >;
  const isName = (value: unknown): boolean => value === undefined || typeof value === "string";
  return (
    typeof id === "string" &&
    typeof secretHash === "string" &&
    /^[0-9a-f]{64}$/.test(secretHash) &&
    typeof expiresMs === "number" &&
    (uses === "unlimited" || typeof uses === "number") &&
    isName(namespace) &&
    isName(serviceAccount)
  );
};

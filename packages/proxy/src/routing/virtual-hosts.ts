/** Which virtual host takes an authority: exact, then the longest `*.suffix`, then the longest `prefix.*`, then `*`. */
import { ConfigError } from "@weft/core/config-error";

export type FindVirtualHost<T> = (authority: string) => T | undefined;

export interface DomainEntry<T> {
  readonly domain: string;
  readonly at: string;
  readonly value: T;
}

/** Wildcards of one length. */
interface Wildcards<T> {
  readonly length: number;
  readonly byText: Map<string, T>;
}

/** `host:port`, `[::1]:port`: where the port's colon is, or -1. */
const portColon = (authority: string): number => {
  let at = authority.length - 1;
  for (; at >= 0; at--) {
    const code = authority.charCodeAt(at);
    if (code < 48 || code > 57) break;
  }
  if (authority.charCodeAt(at) !== 58) return -1;
  // An IPv6 address without brackets has no port that could be told from it.
  return authority.indexOf(":") === at || authority.startsWith("[") ? at : -1;
};

const withoutPort = (authority: string): string => {
  const colon = portColon(authority);
  return colon < 0 ? authority : authority.slice(0, colon);
};

const put = <T>(table: Map<string, T>, key: string, { domain, at, value }: DomainEntry<T>): void => {
  if (table.has(key)) throw new ConfigError(at, `domain "${domain}" is given twice`);
  table.set(key, value);
};

const longestFirst = <T>(byText: ReadonlyMap<string, T>): readonly Wildcards<T>[] => {
  const lengths = new Map<number, Map<string, T>>();
  for (const [text, value] of byText) {
    const table = lengths.get(text.length) ?? new Map<string, T>();
    table.set(text, value);
    lengths.set(text.length, table);
  }
  return [...lengths].map(([length, table]) => ({ length, byText: table })).sort((a, b) => b.length - a.length);
};

/** Domains are compared without regard to case; a domain that two hosts claim is refused. */
export const compileDomains = <T>(
  entries: readonly DomainEntry<T>[],
  { ignorePort }: { ignorePort: boolean },
): FindVirtualHost<T> => {
  const exact = new Map<string, T>();
  const suffixTable = new Map<string, T>();
  const prefixTable = new Map<string, T>();
  const anyTable = new Map<string, T>();
  for (const entry of entries) {
    const domain = entry.domain.toLowerCase();
    if (domain === "") throw new ConfigError(entry.at, "is empty");
    if (domain === "*") put(anyTable, "*", entry);
    else if (domain.startsWith("*")) put(suffixTable, domain.slice(1), entry);
    else if (domain.endsWith("*")) put(prefixTable, domain.slice(0, -1), entry);
    else put(exact, domain, entry);
  }
  const suffixes = longestFirst(suffixTable);
  const prefixes = longestFirst(prefixTable);
  const fallback = anyTable.get("*");
  return (authority) => {
    if (authority === "") return undefined;
    const given = ignorePort ? withoutPort(authority) : authority;
    // Nearly all are in lower case, as all keys are.
    const same = exact.get(given);
    if (same !== undefined) return same;
    const host = given.toLowerCase();
    const found = exact.get(host);
    if (found !== undefined) return found;
    // A wildcard stands for at least one character.
    for (const { length, byText } of suffixes) {
      if (host.length <= length) continue;
      const value = byText.get(host.slice(-length));
      if (value !== undefined) return value;
    }
    for (const { length, byText } of prefixes) {
      if (host.length <= length) continue;
      const value = byText.get(host.slice(0, length));
      if (value !== undefined) return value;
    }
    return fallback;
  };
};

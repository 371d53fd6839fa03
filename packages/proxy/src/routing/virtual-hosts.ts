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

/** The table a domain stands in, and what it stands there under. */
type Place = readonly [kind: "exact" | "suffix" | "prefix" | "any", key: string];

const placeOf = (given: string): Place => {
  const domain = given.toLowerCase();
  if (domain === "*") return ["any", "*"];
  if (domain.startsWith("*")) return ["suffix", domain.slice(1)];
  if (domain.endsWith("*")) return ["prefix", domain.slice(0, -1)];
  return ["exact", domain];
};

/** Wildcards, those of one length together, the longest first. */
class WildcardTable<T> {
  readonly lengths: Wildcards<T>[] = [];

  put(text: string, value: T): void {
    const { length } = text;
    let at = 0;
    while ((this.lengths[at]?.length ?? -1) > length) at++;
    if (this.lengths[at]?.length !== length) this.lengths.splice(at, 0, { length, byText: new Map() });
    this.lengths[at]?.byText.set(text, value);
  }
  has(text: string): boolean {
    return this.of(text)?.byText.has(text) === true;
  }
  delete(text: string, value: T): void {
    const same = this.of(text);
    if (same?.byText.get(text) === value) same.byText.delete(text);
    if (same?.byText.size === 0) this.lengths.splice(this.lengths.indexOf(same), 1);
  }
  private of({ length }: string): Wildcards<T> | undefined {
    return this.lengths.find((one) => one.length === length);
  }
}

/** Domains with whose they are; compared without regard to case. */
export class Domains<T> {
  private readonly ignorePort: boolean;
  private readonly exact = new Map<string, T>();
  private readonly suffixes = new WildcardTable<T>();
  private readonly prefixes = new WildcardTable<T>();
  private any: T | undefined;

  constructor({ ignorePort }: { readonly ignorePort: boolean }) {
    this.ignorePort = ignorePort;
  }

  /** Throws ConfigError, and has taken none, where one is empty, twice here, or of somebody not among `leaving`. */
  check(entries: readonly DomainEntry<T>[], leaving: readonly DomainEntry<T>[] = []): void {
    const keys = new Set<string>();
    const free = new Set(leaving.map(({ domain }) => placeOf(domain).join(" ")));
    for (const { domain, at } of entries) {
      if (domain === "") throw new ConfigError(at, "is empty");
      const place = placeOf(domain);
      const key = place.join(" ");
      if (keys.has(key) || (this.has(place) && !free.has(key)))
        throw new ConfigError(at, `domain "${domain}" is given twice`);
      keys.add(key);
    }
  }

  put(entries: readonly DomainEntry<T>[]): void {
    for (const { domain, value } of entries) {
      const [kind, key] = placeOf(domain);
      if (kind === "exact") this.exact.set(key, value);
      else if (kind === "suffix") this.suffixes.put(key, value);
      else if (kind === "prefix") this.prefixes.put(key, value);
      else this.any = value;
    }
  }

  /** Those that have gone to somebody else since stay. */
  remove(entries: readonly DomainEntry<T>[]): void {
    for (const { domain, value } of entries) {
      const [kind, key] = placeOf(domain);
      if (kind === "suffix") this.suffixes.delete(key, value);
      else if (kind === "prefix") this.prefixes.delete(key, value);
      else if (kind === "any") this.any = this.any === value ? undefined : this.any;
      else if (this.exact.get(key) === value) this.exact.delete(key);
    }
  }

  /** It stands here as it is, and not for a wildcard. */
  names(authority: string): boolean {
    const given = this.ignorePort ? withoutPort(authority) : authority;
    return this.exact.has(given) || this.exact.has(given.toLowerCase());
  }

  find(authority: string): T | undefined {
    if (authority === "") return undefined;
    const given = this.ignorePort ? withoutPort(authority) : authority;
    // Nearly all are in lower case, as all keys are.
    const same = this.exact.get(given);
    if (same !== undefined) return same;
    const host = given.toLowerCase();
    const found = this.exact.get(host);
    if (found !== undefined) return found;
    // A wildcard stands for at least one character.
    for (const { length, byText } of this.suffixes.lengths) {
      if (host.length <= length) continue;
      const value = byText.get(host.slice(-length));
      if (value !== undefined) return value;
    }
    for (const { length, byText } of this.prefixes.lengths) {
      if (host.length <= length) continue;
      const value = byText.get(host.slice(0, length));
      if (value !== undefined) return value;
    }
    return this.any;
  }

  private has([kind, key]: Place): boolean {
    if (kind === "exact") return this.exact.has(key);
    if (kind === "suffix") return this.suffixes.has(key);
    return kind === "prefix" ? this.prefixes.has(key) : this.any !== undefined;
  }
}

/** Domains are compared without regard to case; a domain that two hosts claim is refused. */
export const compileDomains = <T>(
  entries: readonly DomainEntry<T>[],
  { ignorePort }: { readonly ignorePort: boolean },
): FindVirtualHost<T> => {
  const domains = new Domains<T>({ ignorePort });
  domains.check(entries);
  domains.put(entries);
  return (authority) => domains.find(authority);
};

/** The names a proxy answers for itself, from `envoy.data.dns.v3.DnsTable`: exact ones and, after them, wildcards. */
import { ConfigError } from "@weft/core/config-error";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import { isDnsName, nameKey } from "@weft/protocols/dns/name";
import type { DnsTableJson } from "@weft/xds/gen/envoy/data/dns/v3/dns_table";
import { durationMs, member, refuseOthers, required } from "../compile/fields.ts";

export interface NamedAddresses {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  /** Seconds. */
  readonly ttl: number;
}

export interface NameTable {
  readonly size: number;
  /** Suffixes below which there are no names but those of the table. */
  readonly ownSuffixes: readonly string[];
  /** The name's addresses, possibly none of a family; `undefined`: not a name of this table. */
  lookup(name: string): NamedAddresses | undefined;
}

/** A table with more names is refused. */
export const tableNamesMax = 200_000;
/** A name with more addresses is refused: its answer would not fit into a message. */
export const addressesOfNameMax = 1_000;
const ttlDefault = 300;
const ttlMax = 86_400;

/** Nearly every name: seen at a glance to be one. */
const plainName = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;

type DomainJson = NonNullable<DnsTableJson["virtualDomains"]>[number];

const compileDomain = (json: DomainJson, at: string): NamedAddresses => {
  refuseOthers(json, "DnsVirtualDomain", at, ["name", "endpoint", "answerTtl"]);
  const { endpoint } = json;
  const where = member(at, "endpoint");
  if (endpoint?.clusterName !== undefined) throw new ConfigError(member(where, "clusterName"), "is not supported");
  if (endpoint?.serviceList !== undefined) throw new ConfigError(member(where, "serviceList"), "is not supported");
  const addresses = required(endpoint?.addressList, member(where, "addressList")).address ?? [];
  const list = member(where, "addressList.address");
  if (addresses.length > addressesOfNameMax) throw new ConfigError(list, `has more than ${addressesOfNameMax} entries`);
  const wrong = addresses.findIndex((one) => !isIPv4(one) && !isIPv6(one));
  if (wrong >= 0) throw new ConfigError(`${list}[${wrong}]`, `"${addresses[wrong]}" is not an IP address`);
  const ttlMs = durationMs(json.answerTtl, member(at, "answerTtl"));
  return {
    v4: addresses.filter(isIPv4),
    v6: addresses.filter((one) => !isIPv4(one)),
    ttl: ttlMs === undefined ? ttlDefault : Math.min(ttlMax, Math.floor(ttlMs / 1000)),
  };
};

/** Envoy reads the suffixes as matchers; those that are plain suffixes are all there is here. */
const compileSuffixes = (list: DnsTableJson["knownSuffixes"], at: string): readonly string[] =>
  (list ?? []).map(({ suffix, ...others }, index) => {
    if (suffix === undefined || Object.keys(others).length > 0)
      throw new ConfigError(`${at}[${index}]`, "only a suffix is supported");
    return nameKey(suffix.replace(/^\./, ""));
  });

/** Compiles a table; the first of two entries of a name holds, and the longest of the wildcards that fit. */
export const compileNameTable = (json: DnsTableJson, at: string): NameTable => {
  refuseOthers(json, "DnsTable", at, ["virtualDomains", "knownSuffixes", "externalRetryCount"]);
  const domains = json.virtualDomains ?? [];
  if (domains.length > tableNamesMax)
    throw new ConfigError(member(at, "virtualDomains"), `has more than ${tableNamesMax} names`);
  const exact = new Map<string, NamedAddresses>();
  const wild = new Map<string, NamedAddresses>();
  for (const [index, domain] of domains.entries()) {
    const here = `${member(at, "virtualDomains")}[${index}]`;
    const name = required(domain.name, member(here, "name"));
    const [into, key] = name.startsWith("*.") ? [wild, nameKey(name.slice(2))] : [exact, nameKey(name)];
    if (key === "" || !(plainName.test(key) || isDnsName(key)))
      throw new ConfigError(member(here, "name"), `"${name}" is not a DNS name`);
    const addresses = compileDomain(domain, here);
    if (!into.has(key)) into.set(key, addresses);
  }
  return {
    size: exact.size + wild.size,
    ownSuffixes: compileSuffixes(json.knownSuffixes, member(at, "knownSuffixes")),
    lookup: (name) => {
      const key = nameKey(name);
      const found = exact.get(key);
      if (found !== undefined || wild.size === 0) return found;
      for (let dot = key.indexOf("."); dot >= 0; dot = key.indexOf(".", dot + 1)) {
        const covered = wild.get(key.slice(dot + 1));
        if (covered !== undefined) return covered;
      }
      return undefined;
    },
  };
};

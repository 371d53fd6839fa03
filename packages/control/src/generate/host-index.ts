/** Which virtual host of a route table a request's host is for, as proxies find it when they have the whole table. */
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";

export interface HostIndex {
  /** `TABLE/HOST` as asked for, HOST with its port where it has one → `TABLE/NAME`. */
  readonly resolve: (asked: string) => string | undefined;
  readonly clustersOf: (name: string) => readonly string[];
}

interface Domains {
  readonly ignorePort: boolean;
  readonly exact: Map<string, string>;
  /** The longest first. */
  readonly suffixes: Map<string, string>;
  readonly prefixes: Map<string, string>;
}

const withoutPort = (host: string): string => {
  const [, name, bare] = /^(?:(\[.*\]|[^:]*):\d+|(.*))$/.exec(host) ?? [];
  return name ?? bare ?? host;
};

const longestFirst = (domains: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...domains].sort(([a], [b]) => b.length - a.length));

const readDomains = (json: RouteConfigurationJson): Domains => {
  const exact = new Map<string, string>();
  const suffixes = new Map<string, string>();
  const prefixes = new Map<string, string>();
  for (const { name = "", domains = [] } of json.virtualHosts ?? []) {
    const full = `${json.name}/${name}`;
    for (const written of domains) {
      const domain = written.toLowerCase();
      if (domain === "*") continue;
      if (domain.startsWith("*")) suffixes.set(domain.slice(1), full);
      else if (domain.endsWith("*")) prefixes.set(domain.slice(0, -1), full);
      else exact.set(domain, full);
    }
  }
  const ignorePort = json.ignorePortInHostMatching === true;
  return { ignorePort, exact, suffixes: longestFirst(suffixes), prefixes: longestFirst(prefixes) };
};

const find = ({ ignorePort, exact, suffixes, prefixes }: Domains, asked: string): string | undefined => {
  const host = ignorePort ? withoutPort(asked.toLowerCase()) : asked.toLowerCase();
  const found = exact.get(host);
  if (found !== undefined) return found;
  for (const [suffix, name] of suffixes) if (host.length > suffix.length && host.endsWith(suffix)) return name;
  for (const [prefix, name] of prefixes) if (host.length > prefix.length && host.startsWith(prefix)) return name;
  return undefined;
};

/** `tables` are whole; names that mean a host which is not among `hosts` mean none. Tables are read when first asked for. */
export const hostIndex = (
  tables: ReadonlyMap<string, RouteConfigurationJson>,
  hosts: ReadonlyMap<string, VirtualHostJson>,
  clustersOf: (host: VirtualHostJson) => readonly string[],
): HostIndex => {
  const read = new Map<string, Domains>();
  const domainsOf = (table: string): Domains | undefined => {
    const json = tables.get(table);
    const known = read.get(table);
    if (known || !json) return known;
    const made = readDomains(json);
    read.set(table, made);
    return made;
  };
  return {
    resolve(asked) {
      const at = asked.lastIndexOf("/");
      const domains = domainsOf(asked.slice(0, Math.max(0, at)));
      const name = domains && find(domains, asked.slice(at + 1));
      return name !== undefined && hosts.has(name) ? name : undefined;
    },
    clustersOf(name) {
      const host = hosts.get(name);
      return host ? clustersOf(host) : [];
    },
  };
};

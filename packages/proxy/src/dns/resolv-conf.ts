/** The files that say how names are looked up on this machine. Pure: text in, values out. */
import type { SocketAddress } from "@weft/core/address";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import { nameKey } from "@weft/protocols/dns/name";

/** How and where to ask. */
export interface ResolvConf {
  readonly servers: readonly SocketAddress[];
  readonly search: readonly string[];
  /** Names with so many dots are tried as they are before the search list. */
  readonly ndots: number;
  readonly timeoutMs: number;
  readonly attempts: number;
  /** Each question begins with another server. */
  readonly rotate: boolean;
  readonly useTcp: boolean;
}

export const dnsPort = 53;
/** As in the C library. */
const serversMax = 3;
const searchMax = 32;
const [ndotsMax, timeoutSecondsMax, attemptsMax] = [15, 30, 5];

/** What holds where the file is silent. */
export const defaultResolvConf: ResolvConf = {
  servers: [{ host: "127.0.0.1", port: dnsPort }],
  search: [],
  ndots: 1,
  timeoutMs: 5000,
  attempts: 2,
  rotate: false,
  useTcp: false,
};

const numberOf = (option: string, most: number): number | undefined => {
  const value = /:(\d{1,9})$/.exec(option)?.[1];
  return value === undefined ? undefined : Math.min(Number(value), most);
};

const applyOption = (conf: ResolvConf, option: string): ResolvConf => {
  const [name] = option.split(":");
  switch (name) {
    case "ndots":
      return { ...conf, ndots: numberOf(option, ndotsMax) ?? conf.ndots };
    case "timeout":
      return { ...conf, timeoutMs: Math.max(1, numberOf(option, timeoutSecondsMax) ?? 5) * 1000 };
    case "attempts":
      return { ...conf, attempts: Math.max(1, numberOf(option, attemptsMax) ?? conf.attempts) };
    case "rotate":
      return { ...conf, rotate: true };
    case "use-vc":
      return { ...conf, useTcp: true };
    default:
      return conf;
  }
};

/** Reads resolv.conf; what is not understood is passed over, as everybody does. */
export const parseResolvConf = (text: string): ResolvConf => {
  let conf = defaultResolvConf;
  const servers: SocketAddress[] = [];
  for (const line of text.split("\n")) {
    const [word = "", ...rest] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    const [first = ""] = rest;
    if (word === "nameserver" && servers.length < serversMax) {
      const host = first.split("%")[0] ?? "";
      if (isIPv4(host) || isIPv6(host)) servers.push({ host: first, port: dnsPort });
    } else if (word === "search") conf = { ...conf, search: rest.slice(0, searchMax).map(nameKey) };
    else if (word === "domain" && first !== "") conf = { ...conf, search: [nameKey(first)] };
    else if (word === "options") conf = rest.reduce(applyOption, conf);
  }
  return servers.length === 0 ? conf : { ...conf, servers };
};

/** The names to ask for, in order. */
export const searchedNames = (
  name: string,
  { search, ndots }: Pick<ResolvConf, "search" | "ndots">,
): readonly string[] => {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const dots = name.split(".").length - 1;
  const searched = search.filter((domain) => domain !== "").map((domain) => `${name}.${domain}`);
  return dots >= ndots ? [name, ...searched] : [...searched, name];
};

/** The addresses of each name of a hosts file, in lower case; those of one name in the order of the file. */
export const parseHosts = (text: string): ReadonlyMap<string, readonly string[]> => {
  const hosts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*$/, "").trim().split(/\s+/);
    if (!isIPv4(address) && !isIPv6(address)) continue;
    for (const name of names) {
      const key = nameKey(name);
      const known = hosts.get(key);
      if (known === undefined) hosts.set(key, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return hosts;
};

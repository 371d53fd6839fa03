/** `--registry SCHEME://H:P[,H:P…]/PATH?OPTION=VALUE`: as a URL, but with several addresses, and never with credentials. */
import { parseAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";

export interface RegistryUrl {
  /** As written, for people; it holds no secret. */
  readonly text: string;
  readonly scheme: string;
  readonly addresses: readonly SocketAddress[];
  /** With its first slash, percent-decoded; "" where there is none. */
  readonly path: string;
  readonly options: ReadonlyMap<string, string>;
}

export const addressesMax = 16;

/** Throws WF2102 for what is no such URL, and for one that holds a user or a password, which it never shows. */
export const parseRegistryUrl = (text: string): RegistryUrl => {
  refuseSecrets(text);
  const blank = /[\s\p{Cc}]/u.exec(text);
  if (blank) throw wrongUrl(JSON.stringify(text), "has a blank or a control character, which is written with %");
  const match = /^([a-z][a-z0-9+.-]*):(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(#?)/i.exec(text);
  if (!match) throw wrongUrl(text, "is not a URL");
  const [, scheme = "", authority = "", path = "", query = "", fragment] = match;
  if (fragment) throw wrongUrl(text, "has #, which is written %23");
  if (path.includes("&"))
    throw wrongUrl(text, "has & before the first ?: options begin after a ?, and & is written %26");
  const addresses = authority === "" ? [] : authority.split(",").map((one) => addressIn(one, text));
  if (addresses.length > addressesMax) throw wrongUrl(text, `has more than ${addressesMax} addresses`);
  return {
    text,
    scheme: scheme.toLowerCase(),
    addresses,
    path: decoded(path, text),
    options: optionsIn(query, text),
  };
};

/** Throws WF2102 when an option is not among those a driver knows. Its value may be anything, so it is not shown. */
export const refuseOtherOptions = ({ text, options }: RegistryUrl, known: readonly string[]): void => {
  const all = [...new Set([...known, "name"])];
  for (const name of options.keys()) {
    if (!all.includes(name))
      throw wrongUrl(text.replace(/\?.*/, ""), `has an option ${name}; known are ${all.join(", ")}`);
  }
};

export const wrongUrl = (text: string, problem: string): WeftError => {
  const scheme = /^"?([a-z]+):/i.exec(text)?.[1]?.toLowerCase();
  const example = examples.find((one) => one.startsWith(`${scheme}:`));
  const form = "SCHEME://HOST:PORT[,HOST:PORT]/PATH, such as etcd://10.0.0.5:2379/services";
  return new WeftError("WF2102", `the registry's URL ${text} ${problem}`, {
    next: example ? `correct it; one is written such as ${example}` : `write ${form}`,
  });
};

const examples = [
  "etcd://10.0.0.5:2379,10.0.0.6:2379/services",
  "zookeeper://10.0.0.5:2181/services?layout=curator",
  "consul://10.0.0.5:8500?datacenter=dc1",
  "nacos://10.0.0.5:8848?namespace=public&group=DEFAULT_GROUP",
  "kubernetes://?kubeconfig=/etc/weft/kubeconfig&context=prod",
  "file:///etc/weft/services",
  "embedded:",
] as const;

const secretOption =
  /^(user(name)?|login|auth|digest|pwd|.*(pass(word|wd)?|token|secret|credentials?|access[-_]?key))$/i;

/** Throws WF2102 without a word of the URL where somebody wrote a user or a password into it, in whichever way. */
export const refuseSecrets = (text: string): void => {
  const [, authority, path = text, query = ""] =
    /^[a-z][a-z0-9+.-]*:(?:\/\/([^/?#]*))?([^?#]*)(?:\?(.*))?/is.exec(text) ?? [];
  const isAddress = (part: string): boolean => parseAddress(part) !== undefined;
  // A password may itself hold what ends an authority, so what is no address before an @ is taken for one.
  const hasUser =
    authority === undefined
      ? path.includes("@")
      : /@|%40/.test(authority) ||
        (authority !== "" && /@[^@/?]+:\d{1,5}([,/?]|$)/.test(path)) ||
        (authority !== "" && text.includes("@") && !authority.split(",").every(isAddress));
  if (!hasUser && ![...new URLSearchParams(query).keys()].some((name) => secretOption.test(name))) return;
  throw new WeftError("WF2102", "a registry's URL holds a user or a password", {
    next: "put USER:PASSWORD (for Consul token:TOKEN) into a file and name it with --registry-credentials NAME=FILE",
  });
};

const addressIn = (part: string, text: string): SocketAddress => {
  const address = parseAddress(part);
  if (!address || address.port === 0 || !/^[\w.:%-]+$/.test(address.host) || /^[^:]*%/.test(address.host))
    throw wrongUrl(text, `has "${part}" where HOST:PORT is expected`);
  return address;
};

const decoded = (part: string, text: string): string => {
  try {
    return decodeURIComponent(part);
  } catch {
    throw wrongUrl(text, "has a wrong percent sign");
  }
};

const optionsIn = (query: string, text: string): ReadonlyMap<string, string> => {
  const options = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (options.has(name)) throw wrongUrl(text, `gives ${name} twice`);
    options.set(name, value);
  }
  return options;
};

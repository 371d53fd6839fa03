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

/** Throws WF2102 for what is no such URL, and for one that holds a user or a password. */
export const parseRegistryUrl = (text: string): RegistryUrl => {
  const match = /^([a-z][a-z0-9+.-]*):(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?$/i.exec(text);
  if (!match) throw wrongUrl(text.replace(/\/\/[^/@]*@/, "//"), "is not a URL");
  const [, scheme = "", authority = "", path = "", query = ""] = match;
  if (authority.includes("@")) {
    throw new WeftError("WF2102", "a registry's URL holds a user or a password", {
      next: "put USER:PASSWORD into a file and name it with --registry-credentials",
    });
  }
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

/** Throws WF2102 when an option is not among those a driver knows. */
export const refuseOtherOptions = ({ text, options }: RegistryUrl, known: readonly string[]): void => {
  for (const name of options.keys()) {
    if (!known.includes(name)) throw wrongUrl(text, `has an option ${name}; known are ${known.join(", ")}`);
  }
};

export const wrongUrl = (text: string, problem: string): WeftError =>
  new WeftError("WF2102", `--registry ${text} ${problem}`, {
    next: "write SCHEME://HOST:PORT[,HOST:PORT]/PATH, such as etcd://10.0.0.5:2379/services",
  });

const addressIn = (part: string, text: string): SocketAddress => {
  const address = parseAddress(part);
  if (!address || address.port === 0) throw wrongUrl(text, `has "${part}" where HOST:PORT is expected`);
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

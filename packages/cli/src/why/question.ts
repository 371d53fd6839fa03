/** A request as it is asked about. */
import { parseAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { RequestHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";

export interface Question {
  /** As the client names the server, without a port. */
  readonly host: string;
  readonly port: number;
  readonly request: RequestHead;
  /** The client itself speaks TLS to the server. */
  readonly tls: boolean;
}

export interface QuestionInput {
  /** A host, a service's name or HOST:PORT. */
  readonly destination: string;
  readonly port?: number | undefined;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
  /** `NAME: VALUE`; a Host takes the place of the destination's name. */
  readonly headers?: readonly string[] | undefined;
  readonly tls?: boolean | undefined;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const usage = (message: string, next: string): WeftError => new WeftError("WF9022", message, { next });

/** Throws WF9022 for what no client could send. */
export const parseQuestion = (input: QuestionInput): Question => {
  const { host, port } = parseDestination(input.destination, input.port);
  const headers = new HeaderList();
  const method = input.method ?? "GET";
  if (!token.test(method)) throw usage(`"${method}" is not a method`, "weft why SRC DST GET /path");
  const path = input.path ?? "/";
  if (!/^(\/[\x21-\x7e\x80-\uffff]*|\*)$/.test(path)) throw usage(`"${path}" is not a path`, "begin it with a slash");
  let authority = authorityOf(host, port);
  let protocol = "";
  for (const text of input.headers ?? []) {
    const colon = text.indexOf(":", 1);
    const name = text.slice(0, colon).trim().toLowerCase();
    const value = text.slice(colon + 1).trim();
    if (colon < 0 || !(token.test(name) || name === ":authority")) {
      throw usage(`"${text}" is not a header`, "-H 'name: value'");
    }
    if (name === "host" || name === ":authority") authority = value;
    else if (name === "upgrade") protocol = value.toLowerCase();
    else headers.add(name, value);
  }
  const tls = input.tls === true;
  const scheme = tls ? "https" : "http";
  return { host, port, tls, request: { method, scheme, authority, path, protocol, headers } };
};

const defaultPort = 80;

const parseDestination = (text: string, port: number | undefined): { readonly host: string; readonly port: number } => {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  const given = isIPv6(bare) ? undefined : parseAddress(text);
  const found = { host: given?.host ?? bare, port: port ?? given?.port ?? defaultPort };
  if (found.host === "" || /[\s/]/.test(found.host) || (found.host.includes(":") && !isIPv6(found.host))) {
    throw usage(`"${text}" is not a destination`, "weft why web reviews:9080 GET /path");
  }
  if (!Number.isInteger(found.port) || found.port < 1 || found.port > 65_535) {
    throw usage(`${found.port} is not a port`, "--port 8080");
  }
  return found;
};

/** As clients write it: without the port that everybody expects. */
const authorityOf = (host: string, port: number): string => {
  const name = isIPv6(host) ? `[${host}]` : host;
  return port === defaultPort ? name : `${name}:${port}`;
};

export const isAddress = (host: string): boolean => isIPv4(host) || isIPv6(host);

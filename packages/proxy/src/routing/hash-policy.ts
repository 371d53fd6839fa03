/** Consistent hashing: what of a request decides its host. Results are Envoy's, so both give the same host. */
import { formatAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type {
  RouteAction_HashPolicy_CookieJson,
  RouteAction_HashPolicyJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { durationMs, member, refuseOthers, required } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { queryParameter } from "../matching/query-matcher.ts";
import { compileSubstitution } from "../matching/regex.ts";
import { xxHash64 } from "./xxhash64.ts";

export interface HashResult {
  hash: bigint | undefined;
  setCookie: string | undefined;
}

export type HashRequest = (request: RequestHead, downstream: DownstreamInfo) => Readonly<HashResult>;

/** Gives its part of the hash; a policy that makes a cookie puts it into `result`. */
type HashPart = (request: RequestHead, downstream: DownstreamInfo, result: HashResult) => bigint | undefined;

const allValues = (request: RequestHead, name: string): string[] => {
  const { headers } = request;
  const values: string[] = [];
  for (let i = 0; i < headers.size; i++) if (headers.nameAt(i) === name) values.push(headers.valueAt(i));
  if (values.length === 0 && (name === ":authority" || name === "host")) values.push(request.authority);
  if (values.length === 0 && name === ":path") values.push(request.path);
  return values;
};

const headerPart = (json: NonNullable<RouteAction_HashPolicyJson["header"]>, at: string): HashPart => {
  refuseOthers(json, "HashPolicyHeader", at, ["headerName", "regexRewrite"]);
  const name = required(json.headerName, member(at, "headerName")).toLowerCase();
  const substitute = json.regexRewrite && compileSubstitution(json.regexRewrite, member(at, "regexRewrite"));
  return (request) => {
    const values = allValues(request, name);
    if (values.length === 0) return undefined;
    const sorted = values.length === 1 ? values : values.sort();
    let hash = 0n;
    for (const value of sorted) hash = xxHash64(substitute ? substitute(value) : value, hash);
    return hash;
  };
};

/** The value of a cookie in the request's Cookie headers. */
export const readCookie = (request: RequestHead, name: string): string | undefined => {
  const { headers } = request;
  for (let i = 0; i < headers.size; i++) {
    if (headers.nameAt(i) !== "cookie") continue;
    for (const pair of headers.valueAt(i).split(";")) {
      const equals = pair.indexOf("=");
      if (equals >= 0 && pair.slice(0, equals).trim() === name)
        return pair
          .slice(equals + 1)
          .trim()
          .replace(/^"|"$/g, "");
    }
  }
  return undefined;
};

const cookiePart = (json: RouteAction_HashPolicy_CookieJson, at: string): HashPart => {
  refuseOthers(json, "HashPolicyCookie", at, ["name", "ttl", "path", "attributes"]);
  const name = required(json.name, member(at, "name"));
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw new ConfigError(member(at, "name"), "is not a cookie name");
  const ttlMs = durationMs(json.ttl, member(at, "ttl"));
  const attributes = (json.attributes ?? []).map(({ name: key = "", value }) =>
    value ? `; ${key}=${value}` : `; ${key}`,
  );
  const age = ttlMs ? `; Max-Age=${Math.floor(ttlMs / 1000)}` : "";
  const path = json.path ? `; Path=${json.path}` : "";
  const rest = `${age}${path}${attributes.join("")}; HttpOnly`;
  if (/[\r\n\0]/.test(rest)) throw new ConfigError(at, "has a line break");
  return (request, downstream, result) => {
    const value = readCookie(request, name);
    if (value !== undefined && value !== "") return xxHash64(value);
    if (ttlMs === undefined) return undefined;
    const remote = formatAddress({ host: downstream.remoteHost, port: downstream.remotePort });
    const local = formatAddress({ host: downstream.localHost, port: downstream.localPort });
    const made = xxHash64(remote + local)
      .toString(16)
      .padStart(16, "0");
    result.setCookie = `${name}="${made}"${rest}`;
    return xxHash64(made);
  };
};

const compilePart = (json: RouteAction_HashPolicyJson, at: string): HashPart => {
  refuseOthers(json, "HashPolicy", at, ["header", "cookie", "connectionProperties", "queryParameter", "terminal"]);
  if (json.header) return headerPart(json.header, member(at, "header"));
  if (json.cookie) return cookiePart(json.cookie, member(at, "cookie"));
  if (json.queryParameter) {
    const name = required(json.queryParameter.name, `${at}.queryParameter.name`);
    return (request) => {
      const value = queryParameter(request.path, name);
      return value === undefined ? undefined : xxHash64(value);
    };
  }
  if (json.connectionProperties?.sourceIp) return (_, downstream) => xxHash64(downstream.remoteHost);
  throw new ConfigError(at, "needs header, cookie, queryParameter or connectionProperties.sourceIp");
};

const mask = (1n << 64n) - 1n;

/** Compiles a list of policies; the result object is reused by the next call. */
export const compileHashPolicies = (
  list: readonly RouteAction_HashPolicyJson[] | undefined,
  at: string,
): HashRequest | undefined => {
  if (!list || list.length === 0) return undefined;
  const parts = list.map((json, index) => ({
    part: compilePart(json, `${at}[${index}]`),
    terminal: json.terminal === true,
  }));
  const result: HashResult = { hash: undefined, setCookie: undefined };
  return (request, downstream) => {
    result.hash = undefined;
    result.setCookie = undefined;
    for (const { part, terminal } of parts) {
      const hash = part(request, downstream, result);
      if (hash !== undefined) {
        const before: bigint | undefined = result.hash;
        // Rotated by one bit so that equal parts do not cancel each other.
        result.hash = before === undefined ? hash : (((before << 1n) | (before >> 63n)) & mask) ^ hash;
      }
      if (terminal && result.hash !== undefined) break;
    }
    return result;
  };
};

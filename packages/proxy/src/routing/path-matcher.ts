/** The path part of a route's match, and how much of the path it takes (for prefix rewrites). */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteMatchJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member } from "../compile/fields.ts";
import { pathEnd } from "../matching/query-matcher.ts";
import { compileRegexMatcher } from "../matching/regex.ts";
import type { MatchedLength } from "./rewrite.ts";

export interface PathMatcher {
  /** `path` is without its query. */
  readonly test: (path: string, request: RequestHead) => boolean;
  readonly matchedLength: MatchedLength;
  /** What a table may be indexed by; `none` must be tried for every path. */
  readonly key: PathKey;
}

export type PathKey =
  | { readonly kind: "exact"; readonly path: string }
  /** Every path it takes begins with this whole first segment: `/api`. */
  | { readonly kind: "segment"; readonly segment: string }
  /** Takes only requests without a path. */
  | { readonly kind: "tunnel" }
  | { readonly kind: "none" };

/** CONNECT without `:protocol`: a tunnel, which has no path. */
export const isConnect = (request: RequestHead): boolean => request.method === "CONNECT" && request.protocol === "";

/** The first segment with its slash: `/api` of `/api/v1`. */
export const firstSegment = (path: string): string => {
  const slash = path.indexOf("/", 1);
  return slash < 0 ? path : path.slice(0, slash);
};

const none: PathKey = { kind: "none" };
const kinds = ["prefix", "path", "safeRegex", "connectMatcher", "pathSeparatedPrefix"] as const;

const prefixMatcher = (prefix: string, folds: boolean): PathMatcher => {
  const wanted = folds ? prefix.toLowerCase() : prefix;
  return {
    test: folds ? (path) => path.toLowerCase().startsWith(wanted) : (path) => path.startsWith(wanted),
    matchedLength: () => prefix.length,
    key: !folds && prefix.indexOf("/", 1) > 0 ? { kind: "segment", segment: firstSegment(prefix) } : none,
  };
};

const separatedMatcher = (prefix: string, folds: boolean, at: string): PathMatcher => {
  if (!/^\/[^?#]*[^?#/]$/.test(prefix)) {
    throw new ConfigError(at, "must begin with a slash, not end with one, and have no query or fragment");
  }
  const wanted = folds ? prefix.toLowerCase() : prefix;
  return {
    test: (path) =>
      (path.length === prefix.length || path[prefix.length] === "/") &&
      (folds ? path.toLowerCase() : path).startsWith(wanted),
    matchedLength: () => prefix.length,
    key: folds ? none : { kind: "segment", segment: firstSegment(prefix) },
  };
};

const exactMatcher = (wanted: string, folds: boolean): PathMatcher => {
  const lower = wanted.toLowerCase();
  return {
    test: folds ? (path) => path.toLowerCase() === lower : (path) => path === wanted,
    matchedLength: () => wanted.length,
    key: folds ? none : { kind: "exact", path: wanted },
  };
};

/** Compiles the one path specifier of a RouteMatch. */
export const compilePathMatcher = (json: RouteMatchJson, at: string): PathMatcher => {
  atMostOne(json, kinds, at);
  const folds = json.caseSensitive === false;
  if (json.prefix !== undefined) return prefixMatcher(json.prefix, folds);
  if (json.path !== undefined) return exactMatcher(json.path, folds);
  if (json.pathSeparatedPrefix !== undefined) {
    return separatedMatcher(json.pathSeparatedPrefix, folds, member(at, "pathSeparatedPrefix"));
  }
  if (json.safeRegex !== undefined) {
    const test = compileRegexMatcher(json.safeRegex, member(at, "safeRegex"));
    return { test, matchedLength: pathEnd, key: none };
  }
  if (json.connectMatcher !== undefined) {
    return { test: (_, request) => isConnect(request), matchedLength: () => 0, key: { kind: "tunnel" } };
  }
  throw new ConfigError(at, `needs one of ${kinds.join(", ")}`);
};

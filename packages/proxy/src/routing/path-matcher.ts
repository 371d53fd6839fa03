/** The path part of a route's match, and how much of the path it takes (for prefix rewrites). */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { TypedExtensionConfigJson } from "@weft/xds/gen/envoy/config/core/v3/extension";
import type { RouteMatchJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { UriTemplateMatchConfigJson } from "@weft/xds/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import { openAny } from "../compile/any.ts";
import { atMostOne, member, refuseOthers, required } from "../compile/fields.ts";
import { pathEnd } from "../matching/query-matcher.ts";
import { compileRegexMatcher, literalPrefix } from "../matching/regex.ts";
import { compileUriTemplate, type UriTemplate } from "../matching/uri-template.ts";
import type { MatchedLength } from "./rewrite.ts";

export interface PathMatcher {
  /** `path` is without its query. */
  readonly test: (path: string, request: RequestHead) => boolean;
  readonly matchedLength: MatchedLength;
  /** What a table may be indexed by. */
  readonly key: PathKey;
  /** All it looks at: a path that begins with this text is taken. Absent where it looks at more. */
  readonly begins?: string;
  /** The template of a path match policy, for what is rewritten by it. */
  readonly template?: UriTemplate;
}

export type PathKey =
  | { readonly kind: "exact"; readonly path: string }
  /** Every path it takes begins with this text; with the empty one, it must be tried for every path. */
  | { readonly kind: "prefix"; readonly text: string }
  /** Takes only requests without a path. */
  | { readonly kind: "tunnel" };

/** CONNECT without `:protocol`: a tunnel, which has no path. */
export const isConnect = (request: RequestHead): boolean => request.method === "CONNECT" && request.protocol === "";

const startsWith = (text: string): PathKey => ({ kind: "prefix", text });
const anywhere = startsWith("");
const kinds = ["prefix", "path", "safeRegex", "connectMatcher", "pathSeparatedPrefix", "pathMatchPolicy"] as const;

const prefixMatcher = (prefix: string, folds: boolean): PathMatcher => {
  const wanted = folds ? prefix.toLowerCase() : prefix;
  return {
    test: folds ? (path) => path.toLowerCase().startsWith(wanted) : (path) => path.startsWith(wanted),
    matchedLength: () => prefix.length,
    key: folds ? anywhere : startsWith(prefix),
    // A path is compared without its query, which no prefix with the query's sign can be part of.
    ...(folds || /[?#]/.test(prefix) ? {} : { begins: prefix }),
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
    key: folds ? anywhere : startsWith(prefix),
  };
};

const exactMatcher = (wanted: string, folds: boolean): PathMatcher => {
  const lower = wanted.toLowerCase();
  return {
    test: folds ? (path) => path.toLowerCase() === lower : (path) => path === wanted,
    matchedLength: () => wanted.length,
    key: folds ? anywhere : { kind: "exact", path: wanted },
  };
};

const templateMatch = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";

const compileMatchPolicy = (json: TypedExtensionConfigJson, at: string): UriTemplate => {
  const configAt = member(at, "typedConfig");
  const { typeName, raw } = openAny(json.typedConfig, configAt);
  if (typeName !== templateMatch) throw new ConfigError(configAt, `${typeName} is not supported`);
  const config = raw as UriTemplateMatchConfigJson;
  refuseOthers(config, "UriTemplateMatchConfig", configAt, ["pathTemplate"]);
  const templateAt = member(configAt, "pathTemplate");
  return compileUriTemplate(required(config.pathTemplate, templateAt), templateAt);
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
    return { test, matchedLength: pathEnd, key: startsWith(literalPrefix(json.safeRegex.regex ?? "")) };
  }
  if (json.connectMatcher !== undefined) {
    return { test: (_, request) => isConnect(request), matchedLength: () => 0, key: { kind: "tunnel" } };
  }
  if (json.pathMatchPolicy !== undefined) {
    const template = compileMatchPolicy(json.pathMatchPolicy, member(at, "pathMatchPolicy"));
    return { test: template.test, matchedLength: pathEnd, key: startsWith(template.prefix), template };
  }
  throw new ConfigError(at, `needs one of ${kinds.join(", ")}`);
};

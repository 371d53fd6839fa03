/** Why a route did not match: each condition of it asked alone, by the matchers it is compiled to. */

import type { RequestHead } from "@weft/protocols/http/head";
import type { CompileTools } from "@weft/proxy/compile/tools";
import type { DownstreamInfo } from "@weft/proxy/http/exchange";
import { isGrpcRequest } from "@weft/proxy/matching/grpc";
import { compileHeaderMatcher } from "@weft/proxy/matching/header-matcher";
import { compileQueryMatchers, pathOnly } from "@weft/proxy/matching/query-matcher";
import { compilePathMatcher } from "@weft/proxy/routing/path-matcher";
import { compileRestMatcher } from "@weft/proxy/routing/route-match";
import type {
  HeaderMatcherJson,
  QueryParameterMatcherJson,
  RouteMatchJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { StringMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/string";

const stringText = (json: StringMatcherJson): string => {
  const text =
    json.exact !== undefined
      ? `= ${quote(json.exact)}`
      : json.prefix !== undefined
        ? `begins with ${quote(json.prefix)}`
        : json.suffix !== undefined
          ? `ends with ${quote(json.suffix)}`
          : json.contains !== undefined
            ? `contains ${quote(json.contains)}`
            : json.safeRegex !== undefined
              ? `~ ${json.safeRegex.regex}`
              : "matches";
  return json.ignoreCase ? `${text} in any case` : text;
};

const quote = (text: string): string => JSON.stringify(text);

const headerText = (json: HeaderMatcherJson): string => {
  const { name, stringMatch, exactMatch, prefixMatch, suffixMatch, containsMatch, safeRegexMatch, rangeMatch } = json;
  const not = json.invertMatch ? "not " : "";
  const value: StringMatcherJson | undefined =
    stringMatch ??
    (exactMatch !== undefined
      ? { exact: exactMatch }
      : prefixMatch !== undefined
        ? { prefix: prefixMatch }
        : suffixMatch !== undefined
          ? { suffix: suffixMatch }
          : containsMatch !== undefined
            ? { contains: containsMatch }
            : safeRegexMatch !== undefined
              ? { safeRegex: safeRegexMatch }
              : undefined);
  if (rangeMatch) return `${not}header ${name} from ${rangeMatch.start ?? 0} to ${rangeMatch.end ?? 0}`;
  if (value) return `${not}header ${name} ${stringText(value)}`;
  return `header ${name} ${(json.presentMatch ?? true) !== (json.invertMatch === true) ? "present" : "absent"}`;
};

const queryText = ({ name, stringMatch, presentMatch }: QueryParameterMatcherJson): string =>
  stringMatch
    ? `query parameter ${name} ${stringText(stringMatch)}`
    : `query parameter ${name} ${(presentMatch ?? true) ? "present" : "absent"}`;

const pathText = (json: RouteMatchJson): string => {
  const folds = json.caseSensitive === false ? " in any case" : "";
  if (json.prefix !== undefined) return `path begins with ${quote(json.prefix)}${folds}`;
  if (json.path !== undefined) return `path = ${quote(json.path)}${folds}`;
  if (json.pathSeparatedPrefix !== undefined) return `path is or is below ${quote(json.pathSeparatedPrefix)}${folds}`;
  if (json.safeRegex !== undefined) return `path ~ ${json.safeRegex.regex}`;
  if (json.connectMatcher !== undefined) return "method CONNECT";
  return "path by template";
};

/** One condition of a route, in words and as the matcher it is. */
export interface Condition {
  readonly text: string;
  readonly holds: (request: RequestHead, downstream: DownstreamInfo) => boolean;
}

export const conditionsOf = (json: RouteMatchJson, tools: CompileTools): readonly Condition[] => {
  const path = compilePathMatcher(json, "match");
  const rest = (part: RouteMatchJson, text: string): readonly Condition[] => {
    const test = compileRestMatcher(part, "match", tools);
    return test ? [{ text, holds: test }] : [];
  };
  return [
    { text: pathText(json), holds: (request) => path.test(pathOnly(request.path), request) },
    ...(json.headers ?? []).map((each, index): Condition => {
      const test = compileHeaderMatcher(each, `match.headers[${index}]`);
      return { text: headerText(each), holds: test };
    }),
    ...(json.queryParameters ?? []).flatMap((each): readonly Condition[] => {
      const test = compileQueryMatchers([each], "match.queryParameters");
      return test ? [{ text: queryText(each), holds: (request) => test(request.path) }] : [];
    }),
    ...(json.grpc ? [{ text: "a gRPC call", holds: isGrpcRequest }] : []),
    ...(json.tlsContext ? rest({ tlsContext: json.tlsContext }, "the client's certificate") : []),
    ...(json.dynamicMetadata ? rest({ dynamicMetadata: json.dynamicMetadata }, "dynamic metadata") : []),
    ...(json.runtimeFraction ? rest({ runtimeFraction: json.runtimeFraction }, "a share of all requests") : []),
  ];
};

/** All that a route asks, in words. */
export const matchText = (json: RouteMatchJson, tools: CompileTools): string =>
  conditionsOf(json, tools)
    .map(({ text }) => text)
    .join(", ");

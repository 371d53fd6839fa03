/** A VirtualService's conditions as Envoy's route match. */

import type { StringMatch } from "@weft/config/kinds/common";
import type { HttpMatchRequest } from "@weft/config/kinds/virtual-service";
import type {
  HeaderMatcherJson,
  QueryParameterMatcherJson,
  RouteMatchJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { StringMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/string";

/** An empty match, or the regex `*`, asks only that the thing is there. */
const asksPresence = (match: StringMatch): boolean =>
  match.regex === "*" || (match.exact === undefined && match.prefix === undefined && match.regex === undefined);

export const stringMatcher = ({ exact, prefix, regex }: StringMatch): StringMatcherJson => {
  if (exact !== undefined) return { exact };
  if (prefix !== undefined) return { prefix };
  return { safeRegex: { regex: regex ?? "" } };
};

const headerMatcher = (name: string, match: StringMatch): HeaderMatcherJson =>
  asksPresence(match) ? { name, presentMatch: true } : { name, stringMatch: stringMatcher(match) };

const withoutMatcher = (name: string, match: StringMatch): HeaderMatcherJson =>
  asksPresence(match)
    ? { name, presentMatch: true, invertMatch: true }
    : { name, stringMatch: stringMatcher(match), invertMatch: true, treatMissingHeaderAsEmpty: true };

const queryMatcher = (name: string, match: StringMatch): QueryParameterMatcherJson =>
  asksPresence(match) ? { name, presentMatch: true } : { name, stringMatch: stringMatcher(match) };

const pathSpecifier = (uri: StringMatch | undefined): RouteMatchJson => {
  if (!uri) return { prefix: "/" };
  if (uri.exact !== undefined) return { path: uri.exact };
  if (uri.prefix !== undefined) return { prefix: uri.prefix };
  return uri.regex === undefined ? { prefix: "/" } : { safeRegex: { regex: uri.regex } };
};

const sorted = <T>(table: Readonly<Record<string, T>> | undefined): readonly (readonly [string, T])[] =>
  Object.entries(table ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));

/** Header conditions are in the order of their names, so that equal rules give equal bytes. Claims are the gateway's. */
export const routeMatch = (match: HttpMatchRequest | undefined): RouteMatchJson => {
  const json = pathSpecifier(match?.uri);
  if (!match) return json;
  if (match.ignoreUriCase && match.uri && match.uri.regex === undefined) json.caseSensitive = false;
  const headers = [
    ...sorted(match.headers).map(([name, value]) => headerMatcher(name, value)),
    ...sorted(match.withoutHeaders).map(([name, value]) => withoutMatcher(name, value)),
    ...(match.method ? [headerMatcher(":method", match.method)] : []),
    ...(match.authority ? [headerMatcher(":authority", match.authority)] : []),
    ...(match.scheme ? [headerMatcher(":scheme", match.scheme)] : []),
  ];
  if (headers.length > 0) json.headers = headers;
  const queryParameters = sorted(match.queryParams).map(([name, value]) => queryMatcher(name, value));
  if (queryParameters.length > 0) json.queryParameters = queryParameters;
  return json;
};

/** Takes every request, so that no later rule can. */
export const isCatchAll = ({ prefix, safeRegex, headers, queryParameters, path }: RouteMatchJson): boolean =>
  path === undefined && (prefix === "/" || safeRegex?.regex === ".*") && !headers?.length && !queryParameters?.length;

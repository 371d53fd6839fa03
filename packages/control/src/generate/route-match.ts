/** A VirtualService's conditions as Envoy's route match. */

import type { StringMatch } from "@weft/config/kinds/common";
import type { HttpMatchRequest } from "@weft/config/kinds/virtual-service";
import type {
  HeaderMatcherJson,
  QueryParameterMatcherJson,
  RouteMatchJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { MetadataMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/metadata";
import type { StringMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/string";

/** An empty match, or the regex `*`, asks only that the thing is there. */
const asksPresence = (match: StringMatch): boolean =>
  match.regex === "*" || (match.exact === undefined && match.prefix === undefined && match.regex === undefined);

export const stringMatcher = ({ exact, prefix, regex }: StringMatch): StringMatcherJson => {
  if (exact !== undefined) return { exact };
  if (prefix !== undefined) return { prefix };
  return { safeRegex: { regex: regex ?? "" } };
};

export const headerMatcher = (name: string, match: StringMatch): HeaderMatcherJson =>
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

const claimsPrefix = "@request.auth.claims";

/** `@request.auth.claims.group.id` or `…claims[group][id]`: a claim of the token, which is no header. */
const claimOf = (name: string): readonly string[] | undefined => {
  if (!name.toLowerCase().startsWith(claimsPrefix)) return undefined;
  const rest = name.slice(claimsPrefix.length);
  if (rest.startsWith(".") && rest.length > 1) return rest.slice(1).split(".");
  return /^\[.+\]$/.test(rest) ? rest.slice(1, -1).split("][") : undefined;
};

/** The claim as the JWT filter left it: a text, or a list with the text in it. */
const claimMatcher = (claim: readonly string[], match: StringMatch, invert: boolean): MetadataMatcherJson => {
  const one = asksPresence(match) ? { presentMatch: true } : { stringMatch: stringMatcher(match) };
  return {
    filter: "envoy.filters.http.jwt_authn",
    path: ["payload", ...claim].map((key) => ({ key })),
    value: asksPresence(match) ? one : { orMatch: { valueMatchers: [one, { listMatch: { oneOf: one } }] } },
    ...(invert ? { invert } : {}),
  };
};

const sorted = <T>(table: Readonly<Record<string, T>> | undefined): readonly (readonly [string, T])[] =>
  Object.entries(table ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));

/** Header conditions are in the order of their names, so that equal rules give equal bytes; then those of the request line. */
export const routeMatch = (match: HttpMatchRequest | undefined): RouteMatchJson => {
  const json = pathSpecifier(match?.uri);
  if (!match) return json;
  if (match.ignoreUriCase && match.uri && match.uri.regex === undefined) json.caseSensitive = false;
  const wanted = sorted(match.headers);
  const unwanted = sorted(match.withoutHeaders);
  const isHeader = ([name]: readonly [string, StringMatch]): boolean => claimOf(name) === undefined;
  const named = [
    ...wanted.filter(isHeader).map(([name, value]) => headerMatcher(name, value)),
    ...unwanted.filter(isHeader).map(([name, value]) => withoutMatcher(name, value)),
  ].sort((a, b) => compareText(a.name ?? "", b.name ?? ""));
  const headers = [
    ...named,
    ...(match.method ? [headerMatcher(":method", match.method)] : []),
    ...(match.authority ? [headerMatcher(":authority", match.authority)] : []),
    ...(match.scheme ? [headerMatcher(":scheme", match.scheme)] : []),
  ];
  if (headers.length > 0) json.headers = headers;
  const claims = [
    ...wanted.flatMap(([name, value]) => claimConditions(name, value, false)),
    ...unwanted.flatMap(([name, value]) => claimConditions(name, value, true)),
  ];
  if (claims.length > 0) json.dynamicMetadata = claims;
  const queryParameters = sorted(match.queryParams).map(([name, value]) => queryMatcher(name, value));
  if (queryParameters.length > 0) json.queryParameters = queryParameters;
  return json;
};

const claimConditions = (name: string, match: StringMatch, invert: boolean): readonly MetadataMatcherJson[] => {
  const claim = claimOf(name);
  return claim ? [claimMatcher(claim, match, invert)] : [];
};

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Takes every request, so that no later rule can. */
export const isCatchAll = (match: RouteMatchJson): boolean =>
  (match.prefix === "/" || match.pathSeparatedPrefix === "/" || match.safeRegex?.regex === ".*") &&
  !match.headers?.length &&
  !match.queryParameters?.length &&
  !match.dynamicMetadata?.length;

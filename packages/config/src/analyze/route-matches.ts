/** Set reasoning about HTTP matches: which requests one match takes that another has taken already. */
import type { StringMatch } from "../kinds/common.ts";
import type { HttpMatchRequest } from "../kinds/virtual-service.ts";

type Matches = Readonly<Record<string, StringMatch>>;

/**
 * Whether every request that `inner` matches is matched by `outer` too. Errs to false: true is a proof.
 * An absent `outer` matches everything.
 */
export const covers = (outer: HttpMatchRequest, inner: HttpMatchRequest): boolean =>
  coversUri(outer, inner) &&
  (["scheme", "method", "authority"] as const).every((name) => coversText(outer[name], inner[name])) &&
  coversAll(outer.headers, inner.headers) &&
  coversAll(outer.queryParams, inner.queryParams) &&
  coversAbsence(outer.withoutHeaders, inner.withoutHeaders) &&
  (outer.port === undefined || outer.port === inner.port) &&
  (outer.sourceNamespace === undefined || outer.sourceNamespace === inner.sourceNamespace) &&
  Object.entries(outer.sourceLabels ?? {}).every(([name, value]) => inner.sourceLabels?.[name] === value) &&
  coversGateways(outer.gateways, inner.gateways);

const everything = new Set([".*", "^.*$", ".*$", "^.*"]);

const coversUri = (outer: HttpMatchRequest, inner: HttpMatchRequest): boolean => {
  const wide = outer.uri;
  if (!wide || wide.prefix === "/" || (wide.regex !== undefined && everything.has(wide.regex))) return true;
  if (!inner.uri || (inner.ignoreUriCase && !outer.ignoreUriCase && inner.uri.regex === undefined)) return false;
  return coversText(wide, inner.uri, outer.ignoreUriCase === true);
};

const coversText = (outer: StringMatch | undefined, inner: StringMatch | undefined, ignoreCase = false): boolean => {
  if (!outer) return true;
  if (!inner) return false;
  const fold = (text: string) => (ignoreCase ? text.toLowerCase() : text);
  if (outer.exact !== undefined) return inner.exact !== undefined && fold(inner.exact) === fold(outer.exact);
  if (outer.prefix !== undefined) {
    const start = inner.exact ?? inner.prefix;
    return start !== undefined && fold(start).startsWith(fold(outer.prefix));
  }
  if (outer.regex !== undefined) return everything.has(outer.regex) || outer.regex === inner.regex;
  return true;
};

/** Each of outer's conditions follows from one of inner's. */
const coversAll = (outer: Matches | undefined, inner: Matches | undefined): boolean =>
  Object.entries(outer ?? {}).every(([name, match]) => {
    const given = inner?.[name];
    if (given === undefined) return false;
    const presence = Object.keys(match).length === 0 || match.regex === "*";
    return presence || coversText(match, given);
  });

/** What outer excludes, inner excludes at least as widely. */
const coversAbsence = (outer: Matches | undefined, inner: Matches | undefined): boolean =>
  Object.entries(outer ?? {}).every(([name, match]) => {
    const given = inner?.[name];
    if (given === undefined) return false;
    return Object.keys(given).length === 0 || coversText(given, match);
  });

const coversGateways = (outer: readonly string[] | undefined, inner: readonly string[] | undefined): boolean =>
  outer === undefined ||
  outer.length === 0 ||
  (inner !== undefined && inner.length > 0 && inner.every((name) => outer.includes(name)));

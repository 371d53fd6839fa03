import type { QueryParameterMatcherJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member, refuseOthers, required } from "../compile/fields.ts";
import { compileStringMatcher } from "./string-matcher.ts";

/** The path without its query and fragment. */
export const pathOnly = (path: string): string => {
  const end = pathEnd(path);
  return end === path.length ? path : path.slice(0, end);
};

/** Where the query or fragment begins, or the length. */
export const pathEnd = (path: string): number => {
  const query = path.indexOf("?");
  const fragment = path.indexOf("#");
  if (query < 0) return fragment < 0 ? path.length : fragment;
  return fragment < 0 || query < fragment ? query : fragment;
};

/** The first value of a query parameter, not decoded; empty for `?a`, `undefined` when absent. */
export const queryParameter = (path: string, name: string): string | undefined => {
  let at = path.indexOf("?");
  const fragment = path.indexOf("#");
  const end = fragment < 0 ? path.length : fragment;
  if (at < 0 || at > end) return undefined;
  at++;
  while (at <= end) {
    let next = path.indexOf("&", at);
    if (next < 0 || next > end) next = end;
    let equals = path.indexOf("=", at);
    if (equals < 0 || equals > next) equals = next;
    if (equals - at === name.length && path.startsWith(name, at)) return path.slice(Math.min(equals + 1, next), next);
    at = next + 1;
  }
  return undefined;
};

/** Compiles query parameter matchers over `:path`; all must match. */
export const compileQueryMatchers = (
  list: readonly QueryParameterMatcherJson[] | undefined,
  at: string,
): ((path: string) => boolean) | undefined => {
  if (!list || list.length === 0) return undefined;
  const tests = list.map((json, index) => compileOne(json, `${at}[${index}]`));
  return (path) => {
    for (const test of tests) if (!test(path)) return false;
    return true;
  };
};

const compileOne = (json: QueryParameterMatcherJson, at: string): ((path: string) => boolean) => {
  refuseOthers(json, "QueryParameterMatcher", at, ["name", "stringMatch", "presentMatch"]);
  atMostOne(json, ["stringMatch", "presentMatch"], at);
  const name = required(json.name, member(at, "name"));
  if (json.stringMatch === undefined) {
    const wanted = json.presentMatch ?? true;
    return (path) => (queryParameter(path, name) !== undefined) === wanted;
  }
  const test = compileStringMatcher(json.stringMatch, member(at, "stringMatch"));
  return (path) => {
    const value = queryParameter(path, name);
    return value !== undefined && test(value);
  };
};

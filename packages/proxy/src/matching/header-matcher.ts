import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { HeaderMatcherJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member, refuseOthers, required } from "../compile/fields.ts";
import { compileRegexMatcher, type Test } from "./regex.ts";
import { compileStringMatcher } from "./string-matcher.ts";

/** Reads one header's whole value, repeated fields joined by commas; `undefined` when it is absent. */
export type ReadHeader = (request: RequestHead) => string | undefined;

const orAbsent = (value: string): string | undefined => (value === "" ? undefined : value);

/** Readers of a request's headers and pseudo-headers by name. */
export const headerReader = (name: string): ReadHeader => {
  switch (name) {
    case ":path":
      return (request) => orAbsent(request.path);
    case ":method":
      return (request) => orAbsent(request.method);
    case ":authority":
    case "host":
      return (request) => orAbsent(request.authority);
    case ":scheme":
      return (request) => orAbsent(request.scheme);
    case ":protocol":
      return (request) => orAbsent(request.protocol);
    default:
      return (request) => request.headers.getJoined(name);
  }
};

const specifiers = [
  "exactMatch",
  "safeRegexMatch",
  "rangeMatch",
  "presentMatch",
  "prefixMatch",
  "suffixMatch",
  "containsMatch",
  "stringMatch",
] as const;

/** Whether a value that is there (or taken as empty) satisfies the matcher, before inversion. */
const compileValueTest = (json: HeaderMatcherJson, at: string): Test => {
  const { exactMatch, prefixMatch, suffixMatch, containsMatch, rangeMatch } = json;
  if (exactMatch !== undefined) return (value) => value === exactMatch;
  if (prefixMatch !== undefined) return (value) => value.startsWith(prefixMatch);
  if (suffixMatch !== undefined) return (value) => value.endsWith(suffixMatch);
  if (containsMatch !== undefined) return (value) => value.includes(containsMatch);
  if (json.safeRegexMatch !== undefined) return compileRegexMatcher(json.safeRegexMatch, member(at, "safeRegexMatch"));
  if (json.stringMatch !== undefined) return compileStringMatcher(json.stringMatch, member(at, "stringMatch"));
  if (rangeMatch !== undefined) {
    const start = Number(rangeMatch.start ?? 0);
    const end = Number(rangeMatch.end ?? 0);
    return (value) => /^-?\d{1,19}$/.test(value) && Number(value) >= start && Number(value) < end;
  }
  return () => true;
};

/** What a header matcher looks at, for a caller that has a request or only a list of headers. */
interface CompiledHeaderMatcher {
  readonly name: string;
  readonly test: Test;
  readonly invert: boolean;
  /** Whether it takes what has no such header. */
  readonly missing: boolean;
}

const compile = (json: HeaderMatcherJson, at: string): CompiledHeaderMatcher => {
  refuseOthers(json, "HeaderMatcher", at, ["name", ...specifiers, "invertMatch", "treatMissingHeaderAsEmpty"]);
  atMostOne(json, specifiers, at);
  const name = required(json.name, member(at, "name")).toLowerCase();
  if (!/^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) throw new ConfigError(member(at, "name"), "is not a header name");
  const invert = json.invertMatch === true;
  const asEmpty = json.treatMissingHeaderAsEmpty === true;
  const byPresence = specifiers.every((specifier) => specifier === "presentMatch" || json[specifier] === undefined);
  if (byPresence) {
    const wanted = (json.presentMatch ?? true) !== invert;
    return { name, test: () => true, invert: !wanted, missing: asEmpty === wanted };
  }
  const test = compileValueTest(json, at);
  // A missing header matches neither way, inverted or not, unless it counts as empty.
  return { name, test, invert, missing: asEmpty && test("") !== invert };
};

const overValue =
  ({ test, invert, missing }: CompiledHeaderMatcher) =>
  (value: string | undefined): boolean =>
    value === undefined ? missing : test(value) !== invert;

/** Fields of one name are tested one by one, so that a value cannot hide behind another. Any of them will do. */
const overFields =
  ({ name, test, invert, missing }: CompiledHeaderMatcher) =>
  (headers: HeaderList): boolean => {
    let there = false;
    for (let i = 0; i < headers.size; i++) {
      if (headers.nameAt(i) !== name) continue;
      if (test(headers.valueAt(i))) return !invert;
      there = true;
    }
    return there ? invert : missing;
  };

/** Compiles a HeaderMatcher over a request. */
export const compileHeaderMatcher = (json: HeaderMatcherJson, at: string): ((request: RequestHead) => boolean) => {
  const matcher = compile(json, at);
  if (matcher.name.startsWith(":") || matcher.name === "host") {
    const test = overValue(matcher);
    const read = headerReader(matcher.name);
    return (request) => test(read(request));
  }
  const test = overFields(matcher);
  return ({ headers }) => test(headers);
};

/** Compiles a HeaderMatcher over a response's headers; `:status` is given apart. */
export const compileResponseHeaderMatcher = (
  json: HeaderMatcherJson,
  at: string,
): ((status: number, headers: HeaderList) => boolean) => {
  const matcher = compile(json, at);
  if (matcher.name === ":status") {
    const test = overValue(matcher);
    return (status) => test(String(status));
  }
  const test = overFields(matcher);
  return (_, headers) => test(headers);
};

/** All of the matchers; an empty list matches. */
export const compileHeaderMatchers = (
  list: readonly HeaderMatcherJson[] | undefined,
  at: string,
): ((request: RequestHead) => boolean) | undefined => {
  if (!list || list.length === 0) return undefined;
  const tests = list.map((json, index) => compileHeaderMatcher(json, `${at}[${index}]`));
  const [only] = tests;
  if (only && tests.length === 1) return only;
  return (request) => {
    for (const test of tests) if (!test(request)) return false;
    return true;
  };
};

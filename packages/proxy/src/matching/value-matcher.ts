import { ConfigError } from "@weft/core/config-error";
import type { ValueMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/value";
import { member, refuseOthers } from "../compile/fields.ts";
import { compileStringMatcher } from "./string-matcher.ts";

/** Tests a value of a metadata struct; `undefined` is one that is not there. */
export type ValueTest = (value: unknown) => boolean;

export const compileValueMatcher = (json: ValueMatcherJson, at: string): ValueTest => {
  refuseOthers(json, "ValueMatcher", at, [
    "nullMatch",
    "doubleMatch",
    "stringMatch",
    "boolMatch",
    "presentMatch",
    "listMatch",
    "orMatch",
  ]);
  if (json.stringMatch) {
    const test = compileStringMatcher(json.stringMatch, member(at, "stringMatch"));
    return (value) => typeof value === "string" && test(value);
  }
  if (json.listMatch?.oneOf) {
    const test = compileValueMatcher(json.listMatch.oneOf, `${at}.listMatch.oneOf`);
    return (value) => Array.isArray(value) && value.some(test);
  }
  if (json.orMatch) {
    const tests = (json.orMatch.valueMatchers ?? []).map((inner, index) =>
      compileValueMatcher(inner, `${at}.orMatch.valueMatchers[${index}]`),
    );
    return (value) => tests.some((test) => test(value));
  }
  if (json.boolMatch !== undefined) return (value) => value === json.boolMatch;
  if (json.presentMatch !== undefined) return (value) => (value !== undefined) === json.presentMatch;
  if (json.nullMatch) return (value) => value === null;
  const { range, exact } = json.doubleMatch ?? {};
  if (exact !== undefined) return (value) => value === Number(exact);
  if (range)
    return (value) => typeof value === "number" && value >= Number(range.start ?? 0) && value < Number(range.end ?? 0);
  throw new ConfigError(at, "needs a kind of match");
};

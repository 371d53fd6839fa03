import { ConfigError } from "@weft/core/config-error";
import type { StringMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/string";
import { atMostOne, member, refuseOthers } from "../compile/fields.ts";
import { compileRegexMatcher, type Test } from "./regex.ts";

/** A compiled StringMatcher that can still say what it looks for. */
export interface StringTest {
  readonly kind: "exact" | "prefix" | "suffix" | "contains" | "regex";
  readonly value: string;
  readonly test: Test;
}

const kinds = ["exact", "prefix", "suffix", "contains", "safeRegex"] as const;

const plainTest = (kind: Exclude<StringTest["kind"], "regex">, value: string): Test => {
  switch (kind) {
    case "exact":
      return (text) => text === value;
    case "prefix":
      return (text) => text.startsWith(value);
    case "suffix":
      return (text) => text.endsWith(value);
    case "contains":
      return (text) => text.includes(value);
  }
};

/** Compiles envoy.type.matcher.v3.StringMatcher; `ignore_case` has no effect on a regex, as in Envoy. */
export const compileStringTest = (json: StringMatcherJson, at: string): StringTest => {
  refuseOthers(json, "StringMatcher", at, [...kinds, "ignoreCase"]);
  atMostOne(json, kinds, at);
  if (json.safeRegex !== undefined) {
    const test = compileRegexMatcher(json.safeRegex, member(at, "safeRegex"));
    return { kind: "regex", value: json.safeRegex.regex ?? "", test };
  }
  for (const kind of ["exact", "prefix", "suffix", "contains"] as const) {
    const value = json[kind];
    if (value === undefined) continue;
    if (kind !== "exact" && value === "") throw new ConfigError(member(at, kind), "must not be empty");
    if (!json.ignoreCase) return { kind, value, test: plainTest(kind, value) };
    const lower = value.toLowerCase();
    const test = plainTest(kind, lower);
    return { kind, value: lower, test: (text) => test(text.toLowerCase()) };
  }
  throw new ConfigError(at, `needs one of ${kinds.join(", ")}`);
};

export const compileStringMatcher = (json: StringMatcherJson, at: string): Test => compileStringTest(json, at).test;

/** Regular expressions from configuration: RE2 always, so that no pattern can take more than linear time. */
import { ConfigError } from "@weft/core/config-error";
import type { RegexMatchAndSubstituteJson, RegexMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/regex";
import { RE2JS } from "re2js";
import { member, refuseOthers, required } from "../compile/fields.ts";

export type Test = (value: string) => boolean;

/** Longer patterns are refused: compiling one costs time and memory in proportion. */
export const patternCharsMax = 4096;
/** Instructions of the machine it becomes. Matching costs their number times the value's length, at worst. */
export const patternStepsMax = 1024;

const checkLength = (pattern: string, at: string): void => {
  if (pattern.length > patternCharsMax) throw new ConfigError(at, `is longer than ${patternCharsMax} characters`);
};

const compile = (pattern: string, at: string): RE2JS => {
  checkLength(pattern, at);
  const compiled = parse(pattern, at);
  const steps = compiled.programSize();
  if (steps > patternStepsMax) throw new ConfigError(at, `takes ${steps} steps, more than ${patternStepsMax}`);
  return compiled;
};

const parse = (pattern: string, at: string): RE2JS => {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    throw new ConfigError(at, `is not an RE2 expression: ${error instanceof Error ? error.message : String(error)}`);
  }
};

const plain = /^[A-Za-z0-9/_\-:@%&=,;~ ]*$/;

/** Tests the whole value. Exact, prefix, suffix and match-all patterns do not run a machine. */
export const fullMatch = (pattern: string, at: string): Test => {
  checkLength(pattern, at);
  if (pattern === ".*") return () => true;
  if (pattern === ".+") return (value) => value.length > 0;
  if (plain.test(pattern)) return (value) => value === pattern;
  if (pattern.endsWith(".*") && plain.test(pattern.slice(0, -2))) {
    const prefix = pattern.slice(0, -2);
    return (value) => value.startsWith(prefix);
  }
  if (pattern.startsWith(".*") && plain.test(pattern.slice(2))) {
    const suffix = pattern.slice(2);
    return (value) => value.endsWith(suffix);
  }
  const compiled = compile(pattern, at);
  return (value) => compiled.testExact(value);
};

/** Tests whether any part of the value matches. */
export const partialMatch = (pattern: string, at: string): Test => {
  const compiled = compile(pattern, at);
  return (value) => compiled.test(value);
};

export const compileRegexMatcher = (json: RegexMatcherJson, at: string): Test => {
  refuseOthers(json, "RegexMatcher", at, ["regex"]);
  return fullMatch(required(json.regex, member(at, "regex")), member(at, "regex"));
};

/** The texts of a pattern's groups in a value that it takes whole; `undefined` for any other value. */
export type Captures = (value: string) => readonly string[] | undefined;

export const compileCaptures = (pattern: string, at: string): { readonly test: Test; readonly capture: Captures } => {
  const compiled = compile(pattern, at);
  const groups = compiled.groupCount();
  return {
    test: (value) => compiled.testExact(value),
    capture: (value) => {
      const matcher = compiled.matcher(value);
      if (!matcher.matches()) return undefined;
      return Array.from({ length: groups }, (_, index) => matcher.group(index + 1) ?? "");
    },
  };
};

/** What every value that the pattern takes begins with: the text before the first part that may be another. */
export const literalPrefix = (pattern: string): string => {
  if (pattern.includes("|")) return "";
  const body = pattern.startsWith("^") ? pattern.slice(1) : pattern;
  const [text = ""] = /^[A-Za-z0-9/_\-:@%&=,;~]*/.exec(body) ?? [];
  return /^[?*{]/.test(body.slice(text.length)) ? text.slice(0, -1) : text;
};

/** Parts of a substitution: text, or the number of a group (`\1`). */
const parseSubstitution = (text: string, groups: number, at: string): readonly (string | number)[] => {
  const parts: (string | number)[] = [];
  let literal = "";
  for (let i = 0; i < text.length; i++) {
    const next = text[i + 1];
    if (text[i] !== "\\") {
      literal += text[i];
    } else if (next === "\\") {
      literal += "\\";
      i++;
    } else if (next !== undefined && next >= "0" && next <= "9") {
      if (Number(next) > groups) throw new ConfigError(at, `refers to group ${next}, the pattern has ${groups}`);
      parts.push(literal, Number(next));
      literal = "";
      i++;
    } else {
      throw new ConfigError(at, "has a backslash that is followed by neither a digit nor a backslash");
    }
  }
  parts.push(literal);
  return parts;
};

/** Replaces every match of the pattern, as RE2's GlobalReplace. */
export const compileSubstitution = (json: RegexMatchAndSubstituteJson, at: string): ((value: string) => string) => {
  refuseOthers(json, "RegexMatchAndSubstitute", at, ["pattern", "substitution"]);
  const patternAt = member(at, "pattern");
  refuseOthers(required(json.pattern, patternAt), "RegexMatcher", patternAt, ["regex"]);
  const pattern = compile(required(json.pattern?.regex, member(patternAt, "regex")), member(patternAt, "regex"));
  const parts = parseSubstitution(json.substitution ?? "", pattern.groupCount(), member(at, "substitution"));
  return (value) => {
    const matcher = pattern.matcher(value);
    let result = "";
    let last = 0;
    while (matcher.find()) {
      result += value.slice(last, matcher.start());
      for (const part of parts) result += typeof part === "number" ? (matcher.group(part) ?? "") : part;
      last = matcher.end();
    }
    return result + value.slice(last);
  };
};

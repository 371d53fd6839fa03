/** Which nodes a status request means: its node matchers compiled, as a test of a node. */
import { ConfigError } from "@weft/core/config-error";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { NodeMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/node";
import type { StringMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/string";
import type { StructMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/struct";
import type { ValueMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/value";
import { RE2JS } from "re2js";

export type NodeTest = (node: NodeJson) => boolean;
type ValueTest = (value: unknown) => boolean;

const matchersMax = 64;
const patternCharsMax = 1_024;
const patternStepsMax = 1_024;
const depthMax = 16;

/** One of the matchers must hold, and all of a matcher's parts. None mean every node. Throws ConfigError. */
export const compileNodeMatchers = (matchers: readonly NodeMatcherJson[]): NodeTest => {
  if (matchers.length > matchersMax) throw new ConfigError("node_matchers", `has more than ${matchersMax}`);
  if (matchers.length === 0) return () => true;
  const tests = matchers.map((matcher, index) => nodeTest(matcher, `node_matchers[${index}]`));
  return (node) => tests.some((test) => test(node));
};

const nodeTest = ({ nodeId, nodeMetadatas = [] }: NodeMatcherJson, at: string): NodeTest => {
  const id = nodeId && stringTest(nodeId, `${at}.node_id`);
  if (nodeMetadatas.length > matchersMax) throw new ConfigError(`${at}.node_metadatas`, `has more than ${matchersMax}`);
  const metadata = nodeMetadatas.map((one, index) => structTest(one, `${at}.node_metadatas[${index}]`));
  return (node) => (!id || id(node.id ?? "")) && metadata.every((test) => test(node.metadata));
};

const structTest = ({ path = [], value }: StructMatcherJson, at: string): ValueTest => {
  if (path.length === 0 || path.length > depthMax) throw new ConfigError(`${at}.path`, `needs 1 to ${depthMax} steps`);
  if (!value) throw new ConfigError(`${at}.value`, "must be given");
  const test = valueTest(value, `${at}.value`, 0);
  return (root) => {
    let found = root;
    for (const { key = "" } of path) {
      const isStruct =
        typeof found === "object" && found !== null && !Array.isArray(found) && Object.hasOwn(found, key);
      found = isStruct ? (found as Readonly<Record<string, unknown>>)[key] : undefined;
    }
    return test(found);
  };
};

const valueTest = (json: ValueMatcherJson, at: string, depth: number): ValueTest => {
  if (depth > depthMax) throw new ConfigError(at, `is nested deeper than ${depthMax}`);
  if (json.stringMatch) {
    const test = stringTest(json.stringMatch, `${at}.string_match`);
    return (value) => typeof value === "string" && test(value);
  }
  if (json.boolMatch !== undefined) return (value) => value === json.boolMatch;
  if (json.presentMatch !== undefined) return (value) => (value !== undefined) === json.presentMatch;
  if (json.nullMatch) return (value) => value === null;
  if (json.doubleMatch) return doubleTest(json.doubleMatch);
  if (json.listMatch?.oneOf) {
    const test = valueTest(json.listMatch.oneOf, `${at}.list_match`, depth + 1);
    return (value) => Array.isArray(value) && value.some(test);
  }
  if (json.orMatch) {
    const tests = (json.orMatch.valueMatchers ?? []).map((one) => valueTest(one, `${at}.or_match`, depth + 1));
    return (value) => tests.some((test) => test(value));
  }
  throw new ConfigError(at, "needs a kind of match");
};

const doubleTest = ({ exact, range }: NonNullable<ValueMatcherJson["doubleMatch"]>): ValueTest => {
  if (exact !== undefined) return (value) => value === Number(exact);
  const [start, end] = [Number(range?.start ?? 0), Number(range?.end ?? 0)];
  return (value) => typeof value === "number" && value >= start && value < end;
};

const stringTest = (json: StringMatcherJson, at: string): ((value: string) => boolean) => {
  const { exact, prefix, suffix, contains, safeRegex, ignoreCase } = json;
  if (safeRegex) return regexTest(safeRegex.regex ?? "", at);
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  const wanted = fold(exact ?? prefix ?? suffix ?? contains ?? "");
  if (exact !== undefined) return (value) => fold(value) === wanted;
  if (prefix !== undefined) return (value) => fold(value).startsWith(wanted);
  if (suffix !== undefined) return (value) => fold(value).endsWith(wanted);
  if (contains !== undefined) return (value) => fold(value).includes(wanted);
  throw new ConfigError(at, "needs exact, prefix, suffix, contains or safe_regex");
};

const regexTest = (pattern: string, at: string): ((value: string) => boolean) => {
  if (pattern.length > patternCharsMax)
    throw new ConfigError(`${at}.safe_regex`, `is longer than ${patternCharsMax} characters`);
  try {
    const compiled = RE2JS.compile(pattern);
    if (compiled.programSize() <= patternStepsMax) return (value) => compiled.matches(value);
  } catch {
    throw new ConfigError(`${at}.safe_regex`, "is not an RE2 expression");
  }
  throw new ConfigError(`${at}.safe_regex`, `takes more than ${patternStepsMax} steps`);
};

/** What permissions and principals have in common. */
import type { MetadataMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/metadata";
import type { PathMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/path";
import { member, refuseOthers, required } from "../../compile/fields.ts";
import { pathOnly } from "../../matching/query-matcher.ts";
import { compileStringMatcher } from "../../matching/string-matcher.ts";
import { compileValueMatcher } from "../../matching/value-matcher.ts";
import type { RbacTest } from "./rules.ts";

export const allOf =
  (tests: readonly RbacTest[]): RbacTest =>
  (subject) => {
    for (const test of tests) if (!test(subject)) return false;
    return true;
  };

export const anyOf =
  (tests: readonly RbacTest[]): RbacTest =>
  (subject) => {
    for (const test of tests) if (test(subject)) return true;
    return false;
  };

/** The path without its query; a bare connection has none, so nothing matches there. */
export const compileUrlPath = (json: PathMatcherJson, at: string): RbacTest => {
  refuseOthers(json, "PathMatcher", at, ["path"]);
  const test = compileStringMatcher(required(json.path, member(at, "path")), member(at, "path"));
  return ({ request }) => request.path !== "" && test(pathOnly(request.path));
};

/** Dynamic metadata comes of PROXY protocol extensions alone; every other value is absent. */
export const compileMetadataTest = (json: MetadataMatcherJson, at: string): RbacTest => {
  refuseOthers(json, "MetadataMatcher", at, ["filter", "path", "value", "invert"]);
  const filter = required(json.filter, member(at, "filter"));
  const path = (json.path ?? []).map(({ key }, index) => required(key, `${member(at, "path")}[${index}].key`));
  const test = compileValueMatcher(required(json.value, member(at, "value")), member(at, "value"));
  const invert = json.invert === true;
  return ({ downstream }) => {
    let value: unknown = downstream.proxied?.metadata[filter];
    for (const key of path) value = (value as Readonly<Record<string, unknown>> | undefined)?.[key];
    return test(value) !== invert;
  };
};

/** Tests of what filters found out about a request and left for others: dynamic metadata. */
import type { MetadataMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/metadata";
import { member, refuseOthers, required } from "../compile/fields.ts";
import type { RequestState } from "../http/request-state.ts";
import { compileValueMatcher } from "./value-matcher.ts";

/** Whether the state, where there is any, satisfies the matcher. What is not there is an absent value. */
export const compileMetadataMatcher = (
  json: MetadataMatcherJson,
  at: string,
): ((metadata: RequestState["metadata"] | undefined) => boolean) => {
  refuseOthers(json, "MetadataMatcher", at, ["filter", "path", "value", "invert"]);
  const filter = required(json.filter, member(at, "filter"));
  const path = (json.path ?? []).map(({ key }, index) => required(key, `${member(at, "path")}[${index}].key`));
  const test = compileValueMatcher(required(json.value, member(at, "value")), member(at, "value"));
  const invert = json.invert === true;
  return (metadata) => {
    let value: unknown = metadata?.[filter];
    for (const key of path) {
      value =
        typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
    }
    return test(value) !== invert;
  };
};

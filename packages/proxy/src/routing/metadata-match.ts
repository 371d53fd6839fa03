/** What a route asks of the metadata of hosts, where its cluster has subsets. */
import { ConfigError } from "@weft/core/config-error";
import type { MetadataJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { MetadataMatch } from "../balancers/balancer.ts";
import { valueText } from "../clusters/subset-settings.ts";

type Criteria = MetadataMatch["criteria"];

const isStruct = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const byName = (a: readonly [string, string], b: readonly [string, string]): number => (a[0] < b[0] ? -1 : 1);

const criteriaOf = (struct: Readonly<Record<string, unknown>>, except?: string): Criteria =>
  Object.entries(struct)
    .filter(([name]) => name !== except)
    .map(([name, value]) => [name, valueText(value)] as const)
    .sort(byName);

/** Reads `envoy.lb`; the narrower level's values go over those of the wider one. */
export const compileMetadataMatch = (
  json: MetadataJson | undefined,
  at: string,
  wider?: MetadataMatch,
): MetadataMatch | undefined => {
  const struct: unknown = json?.filterMetadata?.["envoy.lb"];
  if (!isStruct(struct)) return wider;
  const list = struct.fallback_list;
  if (list !== undefined && !(Array.isArray(list) && list.every(isStruct)))
    throw new ConfigError(`${at}.filterMetadata["envoy.lb"].fallback_list`, "must be a list of objects");
  const own = criteriaOf(struct, "fallback_list");
  const names = new Set(own.map(([name]) => name));
  const kept = (wider?.criteria ?? []).filter(([name]) => !names.has(name));
  return {
    criteria: [...kept, ...own].sort(byName),
    fallbacks:
      (list as readonly Readonly<Record<string, unknown>>[] | undefined)?.map((each) => ({
        criteria: criteriaOf(each),
        fallbacks: undefined,
      })) ?? wider?.fallbacks,
  };
};

/** Subset load balancing as configured, by the cluster's own message or by the policy of that name. */
import { ConfigError } from "@weft/core/config-error";
import type { Cluster_LbSubsetConfigJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { SubsetJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/subset/v3/subset";
import type { MetadataMatch } from "../balancers/balancer.ts";
import { member, oneOf, refuseOthers } from "../compile/fields.ts";

export interface SubsetSettings {
  readonly fallback: SubsetFallback;
  readonly defaultSubset: MetadataMatch["criteria"];
  readonly selectors: readonly SubsetSelector[];
  readonly localityWeightAware: boolean;
  readonly scaleLocalityWeight: boolean;
  readonly panicModeAny: boolean;
  readonly listAsAny: boolean;
  readonly allowRedundantKeys: boolean;
  /** `fallback_list` among a route's criteria is a list of criteria to try in turn. */
  readonly fallbackList: boolean;
}

export type SubsetFallback = "none" | "any" | "default";

export interface SubsetSelector {
  /** In the order of their names. */
  readonly keys: readonly string[];
  readonly singleHost: boolean;
  /** `undefined`: what holds for the cluster. */
  readonly fallback: SubsetFallback | "keys" | undefined;
  readonly fallbackKeys: readonly string[];
}

/** One text for equal values, whatever the order of members. */
export const valueText = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(valueText).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([name, inner]) => `${JSON.stringify(name)}:${valueText(inner)}`).join(",")}}`;
};

/** A subset's key among a cluster's subsets. */
export const subsetKey = (criteria: MetadataMatch["criteria"]): string => JSON.stringify(criteria);

const byName = ([a]: readonly [string, string], [b]: readonly [string, string]): number => (a < b ? -1 : a > b ? 1 : 0);

/** Members of a struct as criteria. */
export const criteriaOf = (struct: object): MetadataMatch["criteria"] =>
  Object.entries(struct)
    .map(([name, value]): readonly [string, string] => [name, valueText(value)])
    .sort(byName);

const fallbacks = { NO_FALLBACK: "none", ANY_ENDPOINT: "any", DEFAULT_SUBSET: "default" } as const;
const fallbackWords = ["NO_FALLBACK", "ANY_ENDPOINT", "DEFAULT_SUBSET"] as const;
const selectorFallbacks = { ...fallbacks, NOT_DEFINED: undefined, KEYS_SUBSET: "keys" } as const;
const selectorWords = ["NOT_DEFINED", ...fallbackWords, "KEYS_SUBSET"] as const;

type SelectorJson = NonNullable<SubsetJson["subsetSelectors"]>[number];

const compileSelector = (json: SelectorJson, at: string): SubsetSelector => {
  refuseOthers(json, "LbSubsetSelector", at, ["keys", "singleHostPerSubset", "fallbackPolicy", "fallbackKeysSubset"]);
  const keys = [...new Set(json.keys ?? [])].sort();
  if (keys.length === 0) throw new ConfigError(member(at, "keys"), "is required");
  const singleHost = json.singleHostPerSubset === true;
  if (singleHost && keys.length > 1) throw new ConfigError(member(at, "keys"), "must be one where hosts are single");
  const word = oneOf(json.fallbackPolicy, selectorWords, "NOT_DEFINED", member(at, "fallbackPolicy"));
  const fallbackKeys = [...new Set(json.fallbackKeysSubset ?? [])].sort();
  const fallbackAt = member(at, "fallbackKeysSubset");
  if (word === "KEYS_SUBSET") {
    if (fallbackKeys.length === 0) throw new ConfigError(fallbackAt, "is required");
    if (!fallbackKeys.every((key) => keys.includes(key)) || fallbackKeys.length >= keys.length) {
      throw new ConfigError(fallbackAt, "must be some of the selector's keys, not all");
    }
  } else if (fallbackKeys.length > 0) {
    throw new ConfigError(fallbackAt, "is for KEYS_SUBSET");
  }
  return { keys, singleHost, fallback: selectorFallbacks[word], fallbackKeys };
};

/** `undefined` where there are no selectors, and so no subsets. */
export const compileSubsets = (
  json: (Cluster_LbSubsetConfigJson & SubsetJson) | undefined,
  at: string,
): SubsetSettings | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "LbSubsetConfig", at, [
    "fallbackPolicy",
    "defaultSubset",
    "subsetSelectors",
    "localityWeightAware",
    "scaleLocalityWeight",
    "panicModeAny",
    "listAsAny",
    "metadataFallbackPolicy",
    "allowRedundantKeys",
    "subsetLbPolicy",
  ]);
  const selectors = (json.subsetSelectors ?? []).map((selector, index) =>
    compileSelector(selector, `${member(at, "subsetSelectors")}[${index}]`),
  );
  if (selectors.length === 0) return undefined;
  const metadataWords = ["METADATA_NO_FALLBACK", "FALLBACK_LIST"] as const;
  const metadataAt = member(at, "metadataFallbackPolicy");
  return {
    fallback: fallbacks[oneOf(json.fallbackPolicy, fallbackWords, "NO_FALLBACK", member(at, "fallbackPolicy"))],
    defaultSubset: criteriaOf(json.defaultSubset ?? {}),
    selectors,
    localityWeightAware: json.localityWeightAware === true,
    scaleLocalityWeight: json.scaleLocalityWeight === true,
    panicModeAny: json.panicModeAny === true,
    listAsAny: json.listAsAny === true,
    allowRedundantKeys: json.allowRedundantKeys === true,
    fallbackList:
      oneOf(json.metadataFallbackPolicy, metadataWords, "METADATA_NO_FALLBACK", metadataAt) === "FALLBACK_LIST",
  };
};

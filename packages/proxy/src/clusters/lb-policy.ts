/** Which balancer a cluster uses, configured: from `load_balancing_policy`, else from `lb_policy`. */
import { ConfigError } from "@weft/core/config-error";
import type {
  Cluster_CommonLbConfig_ZoneAwareLbConfigJson,
  Cluster_CommonLbConfigJson,
  ClusterJson,
} from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { LocalityLbConfigJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/common/v3/common";
import type { SubsetJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/subset/v3/subset";
import type { WrrLocalityJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality";
import type { BalancerKind, BuildBalancer, ObserveLatency } from "../balancers/balancer.ts";
import { balancers } from "../balancers/index.ts";
import { openAny } from "../compile/any.ts";
import { atMostOne, durationMs, member, percent, refuseOthers, required, unsigned, within } from "../compile/fields.ts";
import { compileSubsets, type SubsetSettings } from "./subset-settings.ts";
import type { ZoneAwareSettings } from "./zone-aware.ts";

export interface LbPolicy {
  readonly build: BuildBalancer;
  readonly byHash: boolean;
  /** What is to be told how long hosts take to answer. */
  readonly observe: ObserveLatency | undefined;
  readonly panicThreshold: number;
  readonly localityWeighted: boolean;
  readonly zoneAware: ZoneAwareSettings | undefined;
  readonly subsets: SubsetSettings | undefined;
  /** Hosts that were not checked yet do not count. */
  readonly ignoresUnchecked: boolean;
  /** Connections of hosts that stay are closed too whenever hosts come or go. */
  readonly closesOnChange: boolean;
  /** How long changes of health that checks or outlier detection found wait for more of them; 0: they do not. */
  readonly mergeWindowMs: number;
}

/** The settings of each policy among the cluster's own fields. */
const settingsField = new Map([
  ["ROUND_ROBIN", "roundRobinLbConfig"],
  ["LEAST_REQUEST", "leastRequestLbConfig"],
  ["RING_HASH", "ringHashLbConfig"],
  ["MAGLEV", "maglevLbConfig"],
] as const);

const subsetType = "envoy.extensions.load_balancing_policies.subset.v3.Subset";
const wrrLocalityType = "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";

interface Chosen {
  readonly kind: BalancerKind;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly at: string;
  readonly subsets?: SubsetSettings | undefined;
  readonly localityWeighted?: boolean;
}

type PolicyListJson = NonNullable<ClusterJson["loadBalancingPolicy"]>;

/** A policy in a policy; Envoy's go three deep at most in sense. */
const nestingMax = 4;

const find = (typeName: string): BalancerKind | undefined =>
  balancers.find((kind) => kind.typeName === typeName || kind.aliases?.includes(typeName));

/** The first policy of the list that is known here. */
const fromList = (json: PolicyListJson | undefined, path: string, depth = 0): Chosen => {
  const listAt = member(path, "policies");
  if (depth > nestingMax) throw new ConfigError(listAt, "are nested too deeply");
  const names: string[] = [];
  for (const [index, { typedExtensionConfig: extension }] of (required(json, path).policies ?? []).entries()) {
    const at = `${listAt}[${index}].typedExtensionConfig.typedConfig`;
    const { typeName, raw } = openAny(extension?.typedConfig, at);
    const kind = find(typeName);
    if (kind) return { kind, raw, at };
    if (typeName === subsetType) {
      const subset: SubsetJson = raw;
      const inner = fromList(subset.subsetLbPolicy, member(at, "subsetLbPolicy"), depth + 1);
      return { ...inner, subsets: compileSubsets(subset, at) };
    }
    if (typeName === wrrLocalityType) {
      const weighted: WrrLocalityJson = raw;
      refuseOthers(weighted, "WrrLocality", at, ["endpointPickingPolicy"]);
      const inner = fromList(weighted.endpointPickingPolicy, member(at, "endpointPickingPolicy"), depth + 1);
      return { ...inner, localityWeighted: true };
    }
    names.push(typeName);
  }
  throw new ConfigError(listAt, `none of them is supported: ${names.join(", ") || "none given"}`);
};

/** Settings of the cluster that policies by message carry themselves. */
const legacySettings = (json: ClusterJson, field: keyof ClusterJson | undefined, byHash: boolean) => {
  const own = (field && (json[field] as Record<string, unknown>)) ?? {};
  const hashing = json.commonLbConfig?.consistentHashingLbConfig;
  return byHash && hashing ? { ...own, consistentHashingLbConfig: hashing } : own;
};

const choose = (json: ClusterJson): Chosen => {
  if (json.loadBalancingPolicy) return fromList(json.loadBalancingPolicy, "loadBalancingPolicy");
  const policy = json.lbPolicy ?? "ROUND_ROBIN";
  const kind = balancers.find((candidate) => candidate.policy === policy);
  if (!kind || policy === ("PEAK_EWMA" as string)) throw new ConfigError("lbPolicy", `${policy} is not supported`);
  const field = settingsField.get(policy as "ROUND_ROBIN");
  const subsets = compileSubsets(json.lbSubsetConfig, "lbSubsetConfig");
  if (subsets && policy === "CLUSTER_PROVIDED") throw new ConfigError("lbSubsetConfig", `does not go with ${policy}`);
  return { kind, raw: legacySettings(json, field, kind.byHash === true), at: field ?? "lbPolicy", subsets };
};

const defaultMinClusterSize = 6;

type ZoneAwareJson = Cluster_CommonLbConfig_ZoneAwareLbConfigJson & { readonly forceLocalityDirectRouting?: boolean };

const compileZoneAware = (json: ZoneAwareJson | undefined, at: string): ZoneAwareSettings | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "ZoneAwareLbConfig", at, [
    "routingEnabled",
    "minClusterSize",
    "failTrafficOnPanic",
    "forceLocalityDirectRouting",
  ]);
  const enabledAt = member(at, "routingEnabled");
  return {
    enabled: json.routingEnabled ? Math.round(percent(json.routingEnabled.value, enabledAt) ?? 0) : 100,
    minClusterSize: unsigned(json.minClusterSize, member(at, "minClusterSize")) ?? defaultMinClusterSize,
    failOnPanic: json.failTrafficOnPanic === true,
    forceLocal: json.forceLocalityDirectRouting === true,
  };
};

/** How localities are gone by: as the policy's own message says, else as the cluster does. */
const compileLocalities = (
  { raw, at, localityWeighted = false }: Chosen,
  common: Cluster_CommonLbConfigJson,
): Pick<LbPolicy, "localityWeighted" | "zoneAware"> => {
  const inner = raw.localityLbConfig as LocalityLbConfigJson | undefined;
  const innerAt = member(at, "localityLbConfig");
  if (inner) {
    refuseOthers(inner, "LocalityLbConfig", innerAt, ["localityWeightedLbConfig", "zoneAwareLbConfig"]);
    atMostOne(inner, ["localityWeightedLbConfig", "zoneAwareLbConfig"], innerAt);
  }
  atMostOne(common, ["localityWeightedLbConfig", "zoneAwareLbConfig"], "commonLbConfig");
  const weighted =
    localityWeighted || inner?.localityWeightedLbConfig !== undefined || raw.localityWeightedLbConfig !== undefined;
  const zones =
    compileZoneAware(inner?.zoneAwareLbConfig, member(innerAt, "zoneAwareLbConfig")) ??
    compileZoneAware(common.zoneAwareLbConfig, "commonLbConfig.zoneAwareLbConfig");
  return {
    localityWeighted: weighted || common.localityWeightedLbConfig !== undefined,
    // Envoy routes by zone wherever it knows its own cluster, also where nobody asks for it.
    zoneAware: zones ?? compileZoneAware({}, ""),
  };
};

const defaultPanicThreshold = 50;

export const compileLbPolicy = (json: ClusterJson): LbPolicy => {
  const common = json.commonLbConfig ?? {};
  refuseOthers(common, "CommonLbConfig", "commonLbConfig", [
    "healthyPanicThreshold",
    "localityWeightedLbConfig",
    "zoneAwareLbConfig",
    "consistentHashingLbConfig",
    "ignoreNewHostsUntilFirstHc",
    "closeConnectionsOnHostSetChange",
    "updateMergeWindow",
  ]);
  const chosen = choose(json);
  const { kind, raw, at, subsets } = chosen;
  // A typed cluster's own type says whether it provides; where it does not, the policy it names is used.
  const typed = json.clusterType !== undefined;
  if (!typed && (json.type === "ORIGINAL_DST") !== (kind.policy === "CLUSTER_PROVIDED")) {
    throw new ConfigError("lbPolicy", "CLUSTER_PROVIDED goes together with the type ORIGINAL_DST");
  }
  const threshold = common.healthyPanicThreshold;
  const value = threshold ? Number(threshold.value ?? 0) : defaultPanicThreshold;
  if (!(value >= 0 && value <= 100))
    throw new ConfigError("commonLbConfig.healthyPanicThreshold", "is not a percentage");
  return {
    build: within(at, () => kind.configure(raw)),
    byHash: kind.byHash === true,
    observe: kind.observe?.(raw),
    panicThreshold: Math.round(value),
    ...compileLocalities(chosen, common),
    subsets,
    ignoresUnchecked: common.ignoreNewHostsUntilFirstHc === true,
    closesOnChange: common.closeConnectionsOnHostSetChange === true,
    mergeWindowMs: durationMs(common.updateMergeWindow, "commonLbConfig.updateMergeWindow") ?? 0,
  };
};

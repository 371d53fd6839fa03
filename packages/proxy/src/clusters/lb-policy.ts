/** Which balancer a cluster uses, configured: from `load_balancing_policy`, else from `lb_policy`. */
import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { BalancerKind, BuildBalancer } from "../balancers/balancer.ts";
import { refuseConsistentExtras } from "../balancers/consistent.ts";
import { balancers } from "../balancers/index.ts";
import { openAny } from "../compile/any.ts";
import { refuseOthers, within } from "../compile/fields.ts";

export interface LbPolicy {
  readonly build: BuildBalancer;
  readonly byHash: boolean;
  readonly panicThreshold: number;
  readonly localityWeighted: boolean;
}

const hashing: ReadonlySet<string> = new Set(["RING_HASH", "MAGLEV"]);

/** The settings of each policy among the cluster's own fields. */
const settingsField = new Map([
  ["ROUND_ROBIN", "roundRobinLbConfig"],
  ["LEAST_REQUEST", "leastRequestLbConfig"],
  ["RING_HASH", "ringHashLbConfig"],
  ["MAGLEV", "maglevLbConfig"],
] as const);

interface Chosen {
  readonly kind: BalancerKind;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly at: string;
}

/** The first policy of the list that is known here. */
const fromList = (json: NonNullable<ClusterJson["loadBalancingPolicy"]>): Chosen => {
  const names: string[] = [];
  for (const [index, { typedExtensionConfig: extension }] of (json.policies ?? []).entries()) {
    const at = `loadBalancingPolicy.policies[${index}].typedExtensionConfig.typedConfig`;
    const { typeName, raw } = openAny(extension?.typedConfig, at);
    const kind = balancers.find((candidate) => candidate.typeName === typeName);
    if (kind) return { kind, raw, at };
    names.push(typeName);
  }
  throw new ConfigError(
    "loadBalancingPolicy.policies",
    `none of them is supported: ${names.join(", ") || "none given"}`,
  );
};

const choose = (json: ClusterJson): Chosen => {
  if (json.loadBalancingPolicy) return fromList(json.loadBalancingPolicy);
  const policy = json.lbPolicy ?? "ROUND_ROBIN";
  const kind = balancers.find((candidate) => candidate.policy === policy);
  if (!kind) throw new ConfigError("lbPolicy", `${policy} is not supported`);
  const field = settingsField.get(policy as "ROUND_ROBIN");
  return { kind, raw: (field && (json[field] as Record<string, unknown>)) ?? {}, at: field ?? "lbPolicy" };
};

/** Whether the policy's own message asks for weighted localities. */
const weightedInside = (raw: Readonly<Record<string, unknown>>): boolean => {
  const inner = raw.localityLbConfig as Readonly<Record<string, unknown>> | undefined;
  return inner?.localityWeightedLbConfig !== undefined || raw.localityWeightedLbConfig !== undefined;
};

const defaultPanicThreshold = 50;

export const compileLbPolicy = (json: ClusterJson): LbPolicy => {
  const common = json.commonLbConfig ?? {};
  refuseOthers(common, "CommonLbConfig", "commonLbConfig", [
    "healthyPanicThreshold",
    "localityWeightedLbConfig",
    "consistentHashingLbConfig",
  ]);
  refuseConsistentExtras(common.consistentHashingLbConfig, "commonLbConfig.consistentHashingLbConfig");
  const { kind, raw, at } = choose(json);
  if ((json.type === "ORIGINAL_DST") !== (kind.policy === "CLUSTER_PROVIDED")) {
    throw new ConfigError("lbPolicy", "CLUSTER_PROVIDED goes together with the type ORIGINAL_DST");
  }
  const threshold = common.healthyPanicThreshold;
  const value = threshold ? Number(threshold.value ?? 0) : defaultPanicThreshold;
  if (!(value >= 0 && value <= 100))
    throw new ConfigError("commonLbConfig.healthyPanicThreshold", "is not a percentage");
  return {
    build: within(at, () => kind.configure(raw)),
    byHash: hashing.has(kind.policy),
    panicThreshold: Math.round(value),
    localityWeighted: common.localityWeightedLbConfig !== undefined || weightedInside(raw),
  };
};

import { ConfigError } from "@weft/core/config-error";
import type {
  RouteAction_RequestMirrorPolicyJson,
  RouteActionJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, oneOf, refuseOthers, required } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { runtimeShare } from "../matching/runtime-fraction.ts";
import { compileClusterChoice } from "./cluster-choice.ts";
import { compileHashPolicies } from "./hash-policy.ts";
import { type CompiledRetry, compileRetry } from "./retry-policy.ts";
import { compileRewrite, type MatchedLength } from "./rewrite.ts";
import type { ForwardAction } from "./route.ts";
import { compileTimeouts } from "./timeouts.ts";

/** What the table and the virtual host give a route that has none of its own. */
export interface Inherited {
  readonly retry: CompiledRetry;
  readonly mirrors: ForwardAction["mirrors"];
}

const notFoundStatuses: ReadonlyMap<string, number> = new Map([
  ["SERVICE_UNAVAILABLE", 503],
  ["NOT_FOUND", 404],
  ["INTERNAL_SERVER_ERROR", 500],
]);

/** `undefined` for an empty list, which leaves the wider level's in force. */
export const compileMirrors = (
  list: readonly RouteAction_RequestMirrorPolicyJson[] | undefined,
  at: string,
): ForwardAction["mirrors"] | undefined => {
  if (!list || list.length === 0) return undefined;
  return list.map((json, index) => {
    const here = `${at}[${index}]`;
    refuseOthers(json, "MirrorPolicy", here, ["cluster", "runtimeFraction", "disableShadowHostSuffixAppend"]);
    const part = json.runtimeFraction ? runtimeShare(json.runtimeFraction, member(here, "runtimeFraction")) : 1;
    const keepHost = json.disableShadowHostSuffixAppend === true;
    return { cluster: required(json.cluster, member(here, "cluster")), share: part, keepHost };
  });
};

const compileUpgrades = (list: RouteActionJson["upgradeConfigs"], at: string): ReadonlyMap<string, boolean> => {
  const upgrades = new Map<string, boolean>();
  for (const [index, json] of (list ?? []).entries()) {
    const here = `${at}[${index}]`;
    refuseOthers(json, "UpgradeConfig", here, ["upgradeType", "enabled", "connectConfig"]);
    if (json.connectConfig) refuseOthers(json.connectConfig, "ConnectConfig", member(here, "connectConfig"), []);
    const type = required(json.upgradeType, member(here, "upgradeType")).toLowerCase();
    if (upgrades.has(type)) throw new ConfigError(member(here, "upgradeType"), `${type} is given twice`);
    upgrades.set(type, json.enabled !== false);
  }
  return upgrades;
};

/** Compiles a RouteAction. Upgrade types are in lower case; `connect` among them lets CONNECT end here. */
export const compileForward = (
  json: RouteActionJson,
  at: string,
  { matchedLength, inherited, tools }: { matchedLength: MatchedLength; inherited: Inherited; tools: CompileTools },
): { readonly action: ForwardAction; readonly clusterNames: readonly string[] } => {
  refuseOthers(json, "RouteAction", at, [
    "cluster",
    "clusterHeader",
    "weightedClusters",
    "clusterNotFoundResponseCode",
    "prefixRewrite",
    "regexRewrite",
    "hostRewriteLiteral",
    "hostRewriteHeader",
    "hostRewritePathRegex",
    "appendXForwardedHost",
    "timeout",
    "idleTimeout",
    "maxStreamDuration",
    "maxGrpcTimeout",
    "grpcTimeoutOffset",
    "retryPolicy",
    "requestMirrorPolicies",
    "priority",
    "hashPolicy",
    "upgradeConfigs",
    "cors",
  ]);
  oneOf(json.priority, ["DEFAULT"], "DEFAULT", member(at, "priority"));
  const choice = compileClusterChoice(json, at, tools);
  const retry = json.retryPolicy ? compileRetry(json.retryPolicy, member(at, "retryPolicy")) : inherited.retry;
  const mirrors = compileMirrors(json.requestMirrorPolicies, member(at, "requestMirrorPolicies")) ?? inherited.mirrors;
  const notFound = notFoundStatuses.get(json.clusterNotFoundResponseCode ?? "SERVICE_UNAVAILABLE");
  if (notFound === undefined) throw new ConfigError(member(at, "clusterNotFoundResponseCode"), "is not supported");
  return {
    action: {
      kind: "forward",
      clusterName: choice.choose,
      rewrite: compileRewrite(json, matchedLength, at),
      ...compileTimeouts(json, at),
      retry: retry.policy,
      retryFor: retry.retryFor,
      mirrors,
      hash: compileHashPolicies(json.hashPolicy, member(at, "hashPolicy")),
      clusterNotFoundStatus: notFound,
      upgrades: compileUpgrades(json.upgradeConfigs, member(at, "upgradeConfigs")),
    },
    clusterNames: [...choice.names, ...mirrors.map(({ cluster }) => cluster)],
  };
};

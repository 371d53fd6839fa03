import { ConfigError } from "@weft/core/config-error";
import type { HedgePolicyJson, RouteActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, oneOf, refuseOthers } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { type ClusterChoice, compileClusterChoice } from "./cluster-choice.ts";
import { compileHashPolicies } from "./hash-policy.ts";
import { compileInternalRedirect } from "./internal-redirect.ts";
import { compileMetadataMatch } from "./metadata-match.ts";
import { compileMirrors } from "./mirror-policy.ts";
import type { PathMatcher } from "./path-matcher.ts";
import type { CompiledRetry, CompileRetry } from "./retry-policy.ts";
import { compileRewrite } from "./rewrite.ts";
import type { ForwardAction } from "./route.ts";
import { compileTimeouts } from "./timeouts.ts";
import { compileUpgradePolicy } from "./upgrade-policy.ts";

/** What the table and the virtual host give a route that has none of its own. */
export interface Inherited {
  readonly retry: CompiledRetry;
  readonly compileRetry: CompileRetry;
  readonly mirrors: ForwardAction["mirrors"];
  /** A try that is too slow is left running beside the next one. */
  readonly hedges: boolean;
}

/** `undefined` where it says nothing, which leaves the wider level's in force. */
export const compileHedge = (json: HedgePolicyJson | undefined, at: string): boolean | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "HedgePolicy", at, ["hedgeOnPerTryTimeout"]);
  return json.hedgeOnPerTryTimeout === true;
};

const notFoundStatuses: ReadonlyMap<string, number> = new Map([
  ["SERVICE_UNAVAILABLE", 503],
  ["NOT_FOUND", 404],
  ["INTERNAL_SERVER_ERROR", 500],
]);

export interface CompiledForward {
  readonly action: ForwardAction;
  readonly clusterNames: readonly string[];
  /** The clusters among which weights choose. */
  readonly entries: ClusterChoice["entries"];
}

/** Compiles a RouteAction. */
export const compileForward = (
  json: RouteActionJson,
  at: string,
  {
    path,
    inherited,
    tools,
  }: { readonly path: PathMatcher; readonly inherited: Inherited; readonly tools: CompileTools },
): CompiledForward => {
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
    "pathRewritePolicy",
    "autoHostRewrite",
    "metadataMatch",
    "hedgePolicy",
    "internalRedirectPolicy",
    "rateLimits",
    "includeVhRateLimits",
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
  const priority = oneOf(json.priority, ["DEFAULT", "HIGH"], "DEFAULT", member(at, "priority"));
  const choice = compileClusterChoice(json, at, tools);
  const retry = json.retryPolicy
    ? inherited.compileRetry(json.retryPolicy, member(at, "retryPolicy"))
    : inherited.retry;
  const mirrors = compileMirrors(json.requestMirrorPolicies, member(at, "requestMirrorPolicies")) ?? inherited.mirrors;
  const notFound = notFoundStatuses.get(json.clusterNotFoundResponseCode ?? "SERVICE_UNAVAILABLE");
  if (notFound === undefined) throw new ConfigError(member(at, "clusterNotFoundResponseCode"), "is not supported");
  return {
    action: {
      kind: "forward",
      high: priority === "HIGH",
      clusterName: choice.choose,
      rewrite: compileRewrite(json, path, at),
      autoHost: json.autoHostRewrite === true,
      keepsForwardedHost: json.appendXForwardedHost === true,
      ...compileTimeouts(json, at),
      retry: retry.policy,
      retryFor: retry.retryFor,
      hedges: compileHedge(json.hedgePolicy, member(at, "hedgePolicy")) ?? inherited.hedges,
      internalRedirect: compileInternalRedirect(json.internalRedirectPolicy, member(at, "internalRedirectPolicy")),
      metadataMatch: compileMetadataMatch(json.metadataMatch, member(at, "metadataMatch")),
      mirrors,
      hash: compileHashPolicies(json.hashPolicy, member(at, "hashPolicy")),
      clusterNotFoundStatus: notFound,
      ...compileUpgradePolicy(json.upgradeConfigs, member(at, "upgradeConfigs")),
    },
    clusterNames: [...choice.names, ...mirrors.flatMap(({ cluster }) => (cluster === "" ? [] : [cluster]))],
    entries: choice.entries,
  };
};

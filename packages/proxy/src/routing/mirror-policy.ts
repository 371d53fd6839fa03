/** Copies of requests that other clusters get. */
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteAction_RequestMirrorPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member, refuseOthers, required } from "../compile/fields.ts";
import { headerReader } from "../matching/header-matcher.ts";
import { runtimeShare } from "../matching/runtime-fraction.ts";

export interface MirrorPolicy {
  /** Empty where a header names it. */
  readonly cluster: string;
  /** Names the cluster; nothing is sent where the request does not. */
  readonly clusterOf: ((request: RequestHead) => string | undefined) | undefined;
  /** Which part of the requests, from 0 to 1. */
  readonly share: number;
  /** The copy has the request's own host, without Envoy's `-shadow`. */
  readonly keepHost: boolean;
}

/** `undefined` for an empty list, which leaves the wider level's in force. */
export const compileMirrors = (
  list: readonly RouteAction_RequestMirrorPolicyJson[] | undefined,
  at: string,
): readonly MirrorPolicy[] | undefined => {
  if (!list || list.length === 0) return undefined;
  return list.map((json, index) => {
    const here = `${at}[${index}]`;
    refuseOthers(json, "MirrorPolicy", here, [
      "cluster",
      "clusterHeader",
      "runtimeFraction",
      "disableShadowHostSuffixAppend",
    ]);
    atMostOne(json, ["cluster", "clusterHeader"], here);
    return {
      cluster: json.clusterHeader ? "" : required(json.cluster, member(here, "cluster")),
      clusterOf: json.clusterHeader ? headerReader(json.clusterHeader.toLowerCase()) : undefined,
      share: json.runtimeFraction ? runtimeShare(json.runtimeFraction, member(here, "runtimeFraction")) : 1,
      keepHost: json.disableShadowHostSuffixAppend === true,
    };
  });
};

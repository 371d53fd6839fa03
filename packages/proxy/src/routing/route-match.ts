/** Everything of a RouteMatch besides the path. */
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteMatchJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, refuseOthers } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { isGrpcRequest } from "../matching/grpc.ts";
import { compileHeaderMatchers } from "../matching/header-matcher.ts";
import { compileMetadataMatcher } from "../matching/metadata-matcher.ts";
import { compileQueryMatchers } from "../matching/query-matcher.ts";
import { drawShare, runtimeShare } from "../matching/runtime-fraction.ts";

/** `undefined` when the path alone decides. */
export type RestMatcher = ((request: RequestHead, downstream: DownstreamInfo) => boolean) | undefined;

type Condition = (request: RequestHead, downstream: DownstreamInfo) => boolean;

const tlsCondition = (json: NonNullable<RouteMatchJson["tlsContext"]>): Condition => {
  const { presented, validated } = json;
  // Only verified certificates are told to us, so presented and validated are the same.
  return (_, { tls }) => {
    const has = tls !== undefined && tls.peerFingerprint !== "";
    return (presented === undefined || presented === has) && (validated === undefined || validated === has);
  };
};

export const compileRestMatcher = (json: RouteMatchJson, at: string, { random }: CompileTools): RestMatcher => {
  refuseOthers(json, "RouteMatch", at, [
    "prefix",
    "path",
    "safeRegex",
    "connectMatcher",
    "pathSeparatedPrefix",
    "caseSensitive",
    "runtimeFraction",
    "headers",
    "queryParameters",
    "grpc",
    "tlsContext",
    "pathMatchPolicy",
    "dynamicMetadata",
  ]);
  const conditions: Condition[] = [];
  if (json.grpc) conditions.push(isGrpcRequest);
  const headers = compileHeaderMatchers(json.headers, member(at, "headers"));
  if (headers) conditions.push(headers);
  const query = compileQueryMatchers(json.queryParameters, member(at, "queryParameters"));
  if (query) conditions.push((request) => query(request.path));
  if (json.tlsContext) conditions.push(tlsCondition(json.tlsContext));
  for (const [index, matcher] of (json.dynamicMetadata ?? []).entries()) {
    const test = compileMetadataMatcher(matcher, `${at}.dynamicMetadata[${index}]`);
    conditions.push((_, { proxied }) => test(proxied?.metadata));
  }
  // Last, so that only a request that would match takes part in the draw.
  if (json.runtimeFraction) {
    conditions.push(drawShare(runtimeShare(json.runtimeFraction, member(at, "runtimeFraction")), random));
  }
  const [only] = conditions;
  if (!only) return undefined;
  if (conditions.length === 1) return only;
  return (request, downstream) => {
    for (const condition of conditions) if (!condition(request, downstream)) return false;
    return true;
  };
};

/** What of a request is counted apart: the actions of `rate_limits`, which make descriptors of requests. */
import { ConfigError } from "@weft/core/config-error";
import type { RateLimit_ActionJson, RateLimitJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { Exchange } from "../http/exchange.ts";
import { compileHeaderMatcher, headerReader } from "../matching/header-matcher.ts";
import { compileQueryMatchers } from "../matching/query-matcher.ts";

/** `key=value` pairs; equal texts are equal descriptors. */
export type Descriptor = string;

export interface RateLimitRule {
  readonly stage: number;
  /** `undefined` where an action finds nothing: the request has no such descriptor. */
  readonly describe: (exchange: Exchange, ownCluster: string) => Descriptor | undefined;
}

/** Texts of a name or value cannot run into each other: each stands behind its length. */
export const descriptorEntry = (key: string, value: string): string => `${descriptorKey(key)}${value.length}:${value}`;

/** What an entry with any value begins with. */
export const descriptorKey = (key: string): string => `${key.length}:${key}`;

const skip = "";
/** An entry; `skip` leaves it out, `undefined` leaves the whole descriptor out. */
type Action = (exchange: Exchange, ownCluster: string) => string | undefined;

const clusterOf = ({ route, request }: Exchange): string => {
  const action = route?.action;
  return action?.kind === "forward" ? action.clusterName(request, 0).cluster : "";
};

const kinds = [
  "sourceCluster",
  "destinationCluster",
  "requestHeaders",
  "remoteAddress",
  "genericKey",
  "headerValueMatch",
  "queryParameterValueMatch",
] as const;

const compileAction = (json: RateLimit_ActionJson, at: string): Action => {
  refuseOthers(json, "RateLimitAction", at, [...kinds]);
  if (json.sourceCluster) return (_, own) => descriptorEntry("source_cluster", own);
  if (json.destinationCluster) return (exchange) => descriptorEntry("destination_cluster", clusterOf(exchange));
  if (json.remoteAddress)
    return ({ remoteHost, downstream }) => descriptorEntry("remote_address", remoteHost ?? downstream.remoteHost);
  if (json.genericKey) {
    const here = member(at, "genericKey");
    refuseOthers(json.genericKey, "GenericKey", here, ["descriptorKey", "descriptorValue"]);
    const value = required(json.genericKey.descriptorValue, member(here, "descriptorValue"));
    const entry = descriptorEntry(json.genericKey.descriptorKey || "generic_key", value);
    return () => entry;
  }
  if (json.requestHeaders) {
    const here = member(at, "requestHeaders");
    refuseOthers(json.requestHeaders, "RequestHeaders", here, ["headerName", "descriptorKey", "skipIfAbsent"]);
    const key = required(json.requestHeaders.descriptorKey, member(here, "descriptorKey"));
    const read = headerReader(required(json.requestHeaders.headerName, member(here, "headerName")).toLowerCase());
    const absent = json.requestHeaders.skipIfAbsent ? skip : undefined;
    return ({ request }) => {
      const value = read(request);
      return value === undefined ? absent : descriptorEntry(key, value);
    };
  }
  if (json.headerValueMatch) {
    const here = member(at, "headerValueMatch");
    const { descriptorKey, descriptorValue, expectMatch, headers = [] } = json.headerValueMatch;
    const tests = headers.map((matcher, index) => compileHeaderMatcher(matcher, `${here}.headers[${index}]`));
    const wanted = expectMatch !== false;
    const entry = descriptorEntry(
      descriptorKey || "header_match",
      required(descriptorValue, member(here, "descriptorValue")),
    );
    return ({ request }) => (tests.every((test) => test(request)) === wanted ? entry : undefined);
  }
  if (json.queryParameterValueMatch) {
    const here = member(at, "queryParameterValueMatch");
    const { descriptorKey, descriptorValue, expectMatch, queryParameters } = json.queryParameterValueMatch;
    const test = compileQueryMatchers(queryParameters, member(here, "queryParameters")) ?? (() => true);
    const wanted = expectMatch !== false;
    const entry = descriptorEntry(
      descriptorKey || "query_match",
      required(descriptorValue, member(here, "descriptorValue")),
    );
    return ({ request }) => (test(request.path) === wanted ? entry : undefined);
  }
  throw new ConfigError(at, `needs one of ${kinds.join(", ")}`);
};

/** Compiles `rate_limits` of a route, a virtual host, or a filter. Rules that runtime could disable are left out. */
export const compileRateLimits = (list: readonly RateLimitJson[] | undefined, at: string): readonly RateLimitRule[] =>
  (list ?? []).flatMap((json, index) => {
    const here = `${at}[${index}]`;
    refuseOthers(json, "RateLimit", here, ["stage", "disableKey", "actions"]);
    const actions = (json.actions ?? []).map((action, i) => compileAction(action, `${here}.actions[${i}]`));
    if (actions.length === 0) throw new ConfigError(member(here, "actions"), "is required");
    if (json.disableKey) return [];
    const describe: RateLimitRule["describe"] = (exchange, ownCluster) => {
      let text = "";
      for (const action of actions) {
        const entry = action(exchange, ownCluster);
        if (entry === undefined) return undefined;
        text += entry;
      }
      return text === "" ? undefined : text;
    };
    return [{ stage: unsigned(json.stage, member(here, "stage")) ?? 0, describe }];
  });

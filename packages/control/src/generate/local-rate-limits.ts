/**
 * LocalRateLimit as Envoy's filter: one filter for each object. Where only some requests count, virtual hosts say which by
 * a descriptor that has the object's name, and the filter has the bucket of that descriptor.
 */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import { parseGoDuration, toProtoDuration } from "@weft/core/duration";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type {
  HeaderMatcherJson,
  RateLimit_ActionJson,
  RateLimitJson,
  VirtualHostJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { LocalRateLimitDescriptorJson } from "@weft/xds/gen/envoy/extensions/common/ratelimit/v3/ratelimit";
import type { LocalRateLimitJson } from "@weft/xds/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit";
import type { HttpFilterJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { StatusCode, type StatusCodeJson } from "@weft/xds/gen/envoy/type/v3/http_status";
import { any } from "@weft/xds/resource";
import { namesOf, resolveHost } from "../model/hostname.ts";
import { labelsMatch } from "../model/workload-policies.ts";
import { headerMatcher } from "./route-match.ts";
import type { Scope } from "./scope.ts";

export type LocalRateLimit = ConfigOf<"LocalRateLimit">;
type Spec = LocalRateLimit["spec"];
type PathMatch = NonNullable<NonNullable<Spec["match"]>["path"]>;

/** The objects for the proxy's workload, oldest first: of its namespace, and of the root namespace. */
export const localRateLimits = ({ model, proxy }: Scope, side: "inbound" | "outbound"): readonly LocalRateLimit[] =>
  model
    .localRateLimits()
    .filter(
      ({ namespace, spec }) =>
        (spec.side ?? "inbound") === side &&
        (namespace === proxy.namespace || namespace === model.mesh.rootNamespace) &&
        labelsMatch(spec.selector?.matchLabels, proxy.labels),
    )
    .toSorted(compareAge);

const idOf = ({ namespace, name }: LocalRateLimit): string => `LocalRateLimit/${namespace}/${name}`;
const countsAll = ({ match, key }: Spec): boolean => match === undefined && key === undefined;

const always = { defaultValue: { numerator: 100, denominator: "HUNDRED" as const } };
/** What no descriptor limits goes on: a filter without any bucket is not taken everywhere. */
const noLimit = { maxTokens: 4_294_967_295, tokensPerFill: 4_294_967_295, fillInterval: "1s" };

const bucketOf = ({ bucket: { maxTokens, tokensPerFill, fillInterval } }: Spec) => ({
  maxTokens,
  tokensPerFill: tokensPerFill ?? 1,
  fillInterval: toProtoDuration(parseGoDuration(fillInterval) ?? 1000),
});

const keyEntry = "key";
const noKeyEntry = "no-key";

const descriptorsOf = (object: LocalRateLimit): LocalRateLimitDescriptorJson[] => {
  const { spec } = object;
  const counted = { key: idOf(object), value: "counted" };
  const tokenBucket = bucketOf(spec);
  if (!spec.key) return [{ entries: [counted], tokenBucket }];
  return [
    { entries: [counted, { key: keyEntry, value: "" }], tokenBucket },
    { entries: [counted, { key: noKeyEntry, value: "true" }], tokenBucket },
  ];
};

/** Envoy answers only with statuses it has names for; the object's reading refuses others. */
const statusOf = ({ status = 429 }: Spec): StatusCodeJson =>
  (StatusCode[status] ?? StatusCode[StatusCode.TooManyRequests]) as StatusCodeJson;

const filterOf = (object: LocalRateLimit): HttpFilterJson => {
  const { spec } = object;
  const config: LocalRateLimitJson = {
    statPrefix: `rate_limit_${object.namespace}_${object.name}`,
    ...(countsAll(spec)
      ? { tokenBucket: bucketOf(spec) }
      : { tokenBucket: noLimit, descriptors: descriptorsOf(object), alwaysConsumeDefaultTokenBucket: false }),
    filterEnabled: always,
    filterEnforced: always,
    status: { code: statusOf(spec) },
    ...(spec.per === "connection" ? { localRateLimitPerDownstreamConnection: true } : {}),
    ...(spec.responseHeaders
      ? {
          responseHeadersToAdd: Object.entries(spec.responseHeaders)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, value]) => ({ header: { key, value }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" as const })),
        }
      : {}),
  };
  return {
    name: `weft.${idOf(object)}`,
    typedConfig: any("envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", config),
  };
};

export const limitFilters = (limits: readonly LocalRateLimit[]): readonly HttpFilterJson[] => limits.map(filterOf);

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const regex = (name: string, text: string): HeaderMatcherJson => ({
  name,
  stringMatch: { safeRegex: { regex: text } },
});

/** By any of its names, with or without a port. */
const authority = ({ model, proxy }: Scope, { namespace, spec }: LocalRateLimit): readonly HeaderMatcherJson[] => {
  const { domain } = model.mesh;
  const names = (spec.match?.hosts ?? []).flatMap((host) =>
    namesOf(resolveHost(host, namespace, domain), { namespace: proxy.namespace, domain }),
  );
  if (names.length === 0 || names.includes("*")) return [];
  const patterns = names.map((name) => (name.startsWith("*") ? `.*${escaped(name.slice(1))}` : escaped(name)));
  return [regex(":authority", `(?i)(${patterns.join("|")})(:[0-9]+)?`)];
};

/** Of the path without its query. */
const pathMatcher = ({ exact, prefix, regex: expression }: PathMatch): HeaderMatcherJson => {
  if (prefix !== undefined) return { name: ":path", stringMatch: { prefix } };
  return regex(":path", `(${exact === undefined ? (expression ?? ".*") : escaped(exact)})(\\?.*)?`);
};

const conditions = (scope: Scope, object: LocalRateLimit): readonly HeaderMatcherJson[] => {
  const { path, methods, headers } = object.spec.match ?? {};
  return [
    ...authority(scope, object),
    ...(path ? [pathMatcher(path)] : []),
    ...(methods?.length ? [regex(":method", methods.map(escaped).join("|"))] : []),
    ...Object.entries(headers ?? {})
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, match]) => headerMatcher(name, match)),
  ];
};

const rulesOf = (scope: Scope, object: LocalRateLimit): readonly RateLimitJson[] => {
  const { key } = object.spec;
  const headers = [...conditions(scope, object)];
  const entry = { descriptorKey: idOf(object), descriptorValue: "counted" };
  const counted: RateLimit_ActionJson =
    headers.length > 0 ? { headerValueMatch: { ...entry, headers, expectMatch: true } } : { genericKey: entry };
  if (!key) return [{ actions: [counted] }];
  const absent: RateLimit_ActionJson = {
    headerValueMatch: {
      descriptorKey: noKeyEntry,
      descriptorValue: "true",
      headers: [{ name: key.header, presentMatch: true, invertMatch: true }],
      expectMatch: true,
    },
  };
  return [
    { actions: [counted, { requestHeaders: { headerName: key.header, descriptorKey: keyEntry } }] },
    { actions: [counted, absent] },
  ];
};

/** What a virtual host for that port of a service says of the requests that count. */
export const limitRules = (
  scope: Scope,
  limits: readonly LocalRateLimit[],
  port: number | undefined,
): readonly RateLimitJson[] =>
  limits
    .filter(({ spec }) => !countsAll(spec) && (spec.match?.port === undefined || spec.match.port === port))
    .flatMap((object) => rulesOf(scope, object));

/** The port a virtual host's name ends with. */
const portOf = ({ name }: VirtualHostJson): number | undefined => {
  const port = /:(\d+)$/.exec(name ?? "")?.[1];
  return port === undefined ? undefined : Number(port);
};

/** The table with the rules of the limits in each virtual host. */
export const withLimitRules = (
  scope: Scope,
  limits: readonly LocalRateLimit[],
  table: RouteConfigurationJson,
): RouteConfigurationJson => {
  if (limits.every(({ spec }) => countsAll(spec))) return table;
  const virtualHosts = table.virtualHosts?.map((host) => {
    const rateLimits = limitRules(scope, limits, portOf(host));
    return rateLimits.length === 0 ? host : { ...host, rateLimits: [...rateLimits] };
  });
  return virtualHosts ? { ...table, virtualHosts } : table;
};

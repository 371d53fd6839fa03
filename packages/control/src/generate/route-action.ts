/** What a VirtualService's rule does, as Envoy's route: destinations, timeouts, retries, faults, edits, other answers. */

import type {
  CorsPolicy,
  Destination,
  Headers,
  HttpFaultInjection,
  HttpRedirect,
  HttpRetry,
  HttpRoute,
} from "@weft/config/kinds/virtual-service";
import { parseGoDuration } from "@weft/core/duration";
import { grpcStatusNames } from "@weft/core/grpc-status";
import type { HeaderValueOptionJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type {
  RedirectActionJson,
  RetryPolicyJson,
  RouteAction_HashPolicyJson,
  RouteAction_RequestMirrorPolicyJson,
  RouteActionJson,
  RouteJson,
  WeightedCluster_ClusterWeightJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import type { MeshDefaults } from "../model/mesh-defaults.ts";
import { notExecutedOn, type RetryDefaults } from "./retry-defaults.ts";
import { stringMatcher } from "./route-match.ts";
import { duration } from "./traffic-policy.ts";

/** What the rule's surroundings know of its destinations. */
export interface RouteTools {
  /** The cluster of a destination; one that does not exist answers 503. */
  readonly clusterOf: (destination: Destination) => string;
  readonly hashPolicyOf: (destination: Destination) => readonly RouteAction_HashPolicyJson[];
  /** The port the listener of these routes is for. */
  readonly port: number;
  readonly secure: boolean;
  /** Retries of rules that say nothing of them; `undefined` are those of the profile. */
  readonly retries: HttpRetry | undefined;
  readonly profile: MeshDefaults["profile"];
  /** Told what cannot be given as written. */
  readonly report: (code: string, message: string) => void;
}

type Percent = NonNullable<HttpRoute["mirrorPercentage"]>;

const previousHosts = {
  name: "envoy.retry_host_predicates.previous_hosts",
  typedConfig: any("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", {}),
};

const defaultRetryOn = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/** Retries where none are configured: twice, not on the same host unless a hash chooses the only cluster. */
export const retryPolicy = (
  retries: HttpRetry | undefined,
  { hashed, profile }: RetryDefaults,
): RetryPolicyJson | undefined => {
  if (!retries)
    return withHosts({ retryOn: profile === "weft" ? notExecutedOn : defaultRetryOn, numRetries: 2 }, !hashed);
  if (!retries.attempts || retries.attempts < 0) return undefined;
  const { conditions, codes } = parseRetryOn(retries.retryOn || defaultRetryOn);
  return withHosts(
    {
      retryOn: conditions,
      numRetries: retries.attempts,
      ...(codes.length > 0 ? { retriableStatusCodes: codes } : {}),
      ...(retries.perTryTimeout ? { perTryTimeout: duration(retries.perTryTimeout) } : {}),
      ...(retries.backoff ? { retryBackOff: { baseInterval: duration(retries.backoff) } } : {}),
      ...(retries.retryRemoteLocalities
        ? {
            retryPriority: {
              name: "envoy.retry_priorities.previous_priorities",
              typedConfig: any("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", {
                updateFrequency: 2,
              }),
            },
          }
        : {}),
    },
    retries.retryIgnorePreviousHosts ?? !hashed,
  );
};

/** Numbers among the conditions are status codes, for which the condition that reads them is added. */
const parseRetryOn = (text: string): { readonly conditions: string; readonly codes: number[] } => {
  const words = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  const codes = words.filter((word) => /^\d+$/.test(word)).map(Number);
  const conditions = words.filter((word) => !/^\d+$/.test(word));
  if (codes.length > 0 && !conditions.includes("retriable-status-codes")) conditions.push("retriable-status-codes");
  return { conditions: conditions.join(","), codes };
};

const withHosts = (policy: RetryPolicyJson, avoid: boolean): RetryPolicyJson => ({
  ...policy,
  ...(avoid ? { retryHostPredicate: [previousHosts] } : {}),
  hostSelectionRetryMaxAttempts: "5",
});

const millionths = (percent: Percent | undefined, fallback: number) => ({
  numerator: Math.round((percent?.value ?? fallback) * 10_000),
  denominator: "MILLION" as const,
});

/** A share that is not given is 0 %, as in Istio; the older `percent` counts where it is given. */
const faultConfig = ({ delay, abort }: HttpFaultInjection) =>
  any("envoy.extensions.filters.http.fault.v3.HTTPFault", {
    ...(delay?.fixedDelay
      ? {
          delay: {
            fixedDelay: duration(delay.fixedDelay),
            percentage: millionths(delay.percentage, delay.percent ?? 0),
          },
        }
      : {}),
    ...(abort?.httpStatus || abort?.grpcStatus
      ? {
          abort: {
            ...(abort.httpStatus
              ? { httpStatus: abort.httpStatus }
              : { grpcStatus: grpcStatusNames.indexOf(abort.grpcStatus?.toUpperCase() ?? "") }),
            percentage: millionths(abort.percentage, 0),
          },
        }
      : {}),
  });

const corsConfig = (cors: CorsPolicy) =>
  any("envoy.extensions.filters.http.cors.v3.CorsPolicy", {
    filterEnabled: { defaultValue: { numerator: 100, denominator: "HUNDRED" } },
    allowOriginStringMatch: [
      ...(cors.allowOrigins?.length
        ? cors.allowOrigins.map(stringMatcher)
        : (cors.allowOrigin ?? []).map((origin) => ({ exact: origin }))),
    ],
    ...(cors.allowMethods?.length ? { allowMethods: cors.allowMethods.join(",") } : {}),
    ...(cors.allowHeaders?.length ? { allowHeaders: cors.allowHeaders.join(",") } : {}),
    ...(cors.exposeHeaders?.length ? { exposeHeaders: cors.exposeHeaders.join(",") } : {}),
    ...(cors.maxAge ? { maxAge: String(Math.floor((parseGoDuration(cors.maxAge) ?? 0) / 1000)) } : {}),
    ...(cors.allowCredentials === undefined ? {} : { allowCredentials: cors.allowCredentials }),
    forwardNotMatchingPreflights: cors.unmatchedPreflights !== "IGNORE",
  });

const isHost = (name: string): boolean => name.toLowerCase() === "host" || name === ":authority";

const headerOptions = (
  table: Readonly<Record<string, string>> | undefined,
  appendAction: NonNullable<HeaderValueOptionJson["appendAction"]>,
): HeaderValueOptionJson[] =>
  Object.entries(table ?? {})
    .filter(([key]) => !isHost(key) && !key.startsWith(":"))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ header: { key, value }, appendAction }));

export interface HeaderEdits {
  readonly requestHeadersToAdd?: HeaderValueOptionJson[];
  readonly requestHeadersToRemove?: string[];
  readonly responseHeadersToAdd?: HeaderValueOptionJson[];
  readonly responseHeadersToRemove?: string[];
}

/** Setting the host is not a header edit but a rewrite; other pseudo headers cannot be edited. */
export const headerEdits = (headers: Headers | undefined): HeaderEdits => {
  const of = (operations: Headers["request"]) => ({
    toAdd: [
      ...headerOptions(operations?.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
      ...headerOptions(operations?.add, "APPEND_IF_EXISTS_OR_ADD"),
    ],
    toRemove: (operations?.remove ?? []).filter((name) => !isHost(name) && !name.startsWith(":")),
  });
  const [request, response] = [of(headers?.request), of(headers?.response)];
  return {
    ...(request.toAdd.length > 0 ? { requestHeadersToAdd: request.toAdd } : {}),
    ...(request.toRemove.length > 0 ? { requestHeadersToRemove: request.toRemove } : {}),
    ...(response.toAdd.length > 0 ? { responseHeadersToAdd: response.toAdd } : {}),
    ...(response.toRemove.length > 0 ? { responseHeadersToRemove: response.toRemove } : {}),
  };
};

/** A host that is set or, where none is, added. */
const newHost = (headers: Headers | undefined): string | undefined =>
  [headers?.request?.set, headers?.request?.add]
    .flatMap((table) => Object.entries(table ?? {}))
    .find(([name]) => isHost(name))?.[1];

const redirectCodes = new Map<number, NonNullable<RedirectActionJson["responseCode"]>>([
  [301, "MOVED_PERMANENTLY"],
  [302, "FOUND"],
  [303, "SEE_OTHER"],
  [307, "TEMPORARY_REDIRECT"],
  [308, "PERMANENT_REDIRECT"],
]);

/** 0 where the scheme says it: Envoy then leaves the port out. */
const redirectPort = (redirect: HttpRedirect, tools: RouteTools): number => {
  const port = redirect.port ?? (redirect.derivePort === "FROM_REQUEST_PORT" ? tools.port : 0);
  const scheme = redirect.scheme || (tools.secure ? "https" : "http");
  return port === (scheme === "https" ? 443 : 80) ? 0 : port;
};

const redirectAction = (redirect: HttpRedirect, tools: RouteTools): RedirectActionJson => {
  const responseCode = redirectCodes.get(redirect.redirectCode ?? 301);
  if (!responseCode) {
    tools.report("WF1530", `redirectCode ${redirect.redirectCode} is not one that Envoy can send; 301 is sent`);
  }
  const port = redirectPort(redirect, tools);
  return {
    ...(redirect.authority ? { hostRedirect: redirect.authority } : {}),
    ...(redirect.scheme ? { schemeRedirect: redirect.scheme } : {}),
    ...(port === 0 ? {} : { portRedirect: port }),
    ...(redirect.prefixRewrite
      ? { prefixRewrite: redirect.prefixRewrite }
      : redirect.uri
        ? { pathRedirect: redirect.uri }
        : {}),
    ...(responseCode && responseCode !== "MOVED_PERMANENTLY" ? { responseCode } : {}),
  };
};

const mirrors = (rule: HttpRoute, tools: RouteTools): RouteAction_RequestMirrorPolicyJson[] => {
  const share = rule.mirrorPercentage ?? percentOf(rule.mirrorPercent ?? rule.mirror_percent);
  const wanted = [...(rule.mirror ? [{ destination: rule.mirror, percentage: share }] : []), ...(rule.mirrors ?? [])];
  return wanted
    .filter(({ percentage }) => percentage?.value !== 0)
    .map(({ destination, percentage }) => ({
      cluster: tools.clusterOf(destination),
      runtimeFraction: { defaultValue: millionths(percentage, 100) },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    }));
};

const percentOf = (value: number | undefined): Percent | undefined => (value === undefined ? undefined : { value });

type Destinations = NonNullable<HttpRoute["route"]>;

/** Weight 0 beside others is left out; a lone destination has all traffic whatever its weight. */
export const weighted = <T extends { readonly weight?: number }>(destinations: readonly T[]): readonly T[] => {
  if (destinations.length < 2) return destinations;
  const some = destinations.filter(({ weight }) => (weight ?? 0) > 0);
  return some.length > 0 ? some : destinations.slice(0, 1);
};

const forwardTo = (destinations: Destinations, tools: RouteTools): RouteActionJson => {
  const chosen = weighted(destinations);
  const [only, more] = chosen;
  if (only && !more) return { cluster: tools.clusterOf(only.destination) };
  return {
    weightedClusters: {
      clusters: chosen.map(
        ({ destination, weight, headers }): WeightedCluster_ClusterWeightJson => ({
          name: tools.clusterOf(destination),
          weight: weight ?? 0,
          ...headerEdits(headers),
          ...(newHost(headers) ? { hostRewriteLiteral: newHost(headers) as string } : {}),
        }),
      ),
    },
  };
};

const forwardAction = (rule: HttpRoute, tools: RouteTools): RouteActionJson => {
  const destinations = weighted(rule.route ?? []);
  const hashPolicy = destinations.flatMap(({ destination }) => tools.hashPolicyOf(destination));
  const timeout = rule.timeout ? duration(rule.timeout) : "0s";
  const hashed = hashPolicy.length > 0 && rule.route?.length === 1;
  const retry = retryPolicy(rule.retries ?? tools.retries, { hashed, profile: tools.profile });
  const mirrored = mirrors(rule, tools);
  const host =
    rule.rewrite?.authority ||
    newHost(rule.headers) ||
    (destinations.length === 1 ? newHost(destinations[0]?.headers) : undefined);
  return {
    ...forwardTo(rule.route ?? [], tools),
    timeout,
    maxGrpcTimeout: timeout,
    ...(retry ? { retryPolicy: retry } : {}),
    ...(rule.rewrite?.uri && !rule.rewrite.uriRegexRewrite ? { prefixRewrite: rule.rewrite.uri } : {}),
    ...(rule.rewrite?.uriRegexRewrite
      ? {
          regexRewrite: {
            pattern: { regex: rule.rewrite.uriRegexRewrite.match },
            substitution: rule.rewrite.uriRegexRewrite.rewrite,
          },
        }
      : {}),
    ...(host ? { hostRewriteLiteral: host } : {}),
    ...(hashPolicy.length > 0 ? { hashPolicy } : {}),
    ...(mirrored.length > 0 ? { requestMirrorPolicies: mirrored } : {}),
  };
};

/** The rule's route without its match and name. `undefined` when it does nothing. */
export const routeAction = (rule: HttpRoute, tools: RouteTools): RouteJson | undefined => {
  const filters = {
    ...(rule.fault ? { "envoy.filters.http.fault": faultConfig(rule.fault) } : {}),
    ...(rule.corsPolicy ? { "envoy.filters.http.cors": corsConfig(rule.corsPolicy) } : {}),
  };
  const forwards = !rule.redirect && !rule.directResponse;
  const destinations = forwards ? weighted(rule.route ?? []) : [];
  const single = destinations.length === 1 ? destinations[0]?.headers : undefined;
  const common: RouteJson = {
    ...joinEdits(headerEdits(rule.headers), headerEdits(single)),
    ...(Object.keys(filters).length > 0 ? { typedPerFilterConfig: filters } : {}),
  };
  if (rule.redirect) return { redirect: redirectAction(rule.redirect, tools), ...common };
  if (rule.directResponse) {
    const { body } = rule.directResponse;
    const inline = body?.bytes === undefined ? { inlineString: body?.string ?? "" } : { inlineBytes: body.bytes };
    return { directResponse: { status: rule.directResponse.status, ...(body ? { body: inline } : {}) }, ...common };
  }
  return rule.route?.length ? { route: forwardAction(rule, tools), ...common } : undefined;
};

const joinEdits = (a: HeaderEdits, b: HeaderEdits): HeaderEdits => {
  const joined: { [K in keyof HeaderEdits]?: NonNullable<HeaderEdits[K]> } = {};
  const lists = (one: HeaderEdits[keyof HeaderEdits], two: HeaderEdits[keyof HeaderEdits]) => [
    ...(one ?? []),
    ...(two ?? []),
  ];
  for (const key of [
    "requestHeadersToAdd",
    "requestHeadersToRemove",
    "responseHeadersToAdd",
    "responseHeadersToRemove",
  ] as const) {
    const list = lists(a[key], b[key]);
    if (list.length > 0) Object.assign(joined, { [key]: list });
  }
  return joined;
};

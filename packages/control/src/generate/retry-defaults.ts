/**
 * Retries nobody wrote, in the profile `weft`: what was provably not executed, and what may be executed twice. Envoy has
 * one policy for a route, so requests that may be repeated have a route of their own, before the one for all others.
 */
import type { HeaderMatcherJson, RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { MeshDefaults } from "../model/mesh-defaults.ts";
import type { Scope } from "./scope.ts";

export interface RetryDefaults {
  /** A hash chooses the host, so the same one may be asked again. */
  readonly hashed: boolean;
  readonly profile: MeshDefaults["profile"];
}

/** No byte of the request was read: no connection, a stream refused unseen, a reset before anything was sent. */
export const notExecutedOn = "connect-failure,refused-stream,reset-before-request";
const repeatableOn = `${notExecutedOn},gateway-error`;

/** RFC 9110, section 9.2.2. CONNECT has a route of its own. */
const idempotent = "GET|HEAD|OPTIONS|TRACE|PUT|DELETE";
const repeatable: readonly HeaderMatcherJson[] = [
  { name: ":method", stringMatch: { safeRegex: { regex: idempotent } } },
  // What is itself a retry of the hop before is not multiplied at this one.
  {
    name: "x-envoy-attempt-count",
    stringMatch: { safeRegex: { regex: "[2-9]|[1-9][0-9]+" } },
    invertMatch: true,
    treatMissingHeaderAsEmpty: true,
  },
];

/**
 * The routes of one nobody wrote retries for: told apart by method, except to those who speak only gRPC, for it only
 * POSTs; and within the budget of such retries, which our own sidecar holds. Envoy's counts connections that failed too,
 * and so would answer 503 itself where a host is gone. Our own sidecar hedges too, where MeshDefaults says so.
 */
export const unwrittenRetries = ({ model, proxy }: Scope, route: RouteJson, onlyGrpc = false): readonly RouteJson[] => {
  const { defaults, defaultHttpRetryPolicy } = model.mesh;
  if (defaultHttpRetryPolicy !== undefined || proxy.kind === "grpc") return [route];
  const routes = onlyGrpc || defaults.profile !== "weft" ? [route] : byMethod(route);
  if (!proxy.native || !route.route?.retryPolicy) return routes;
  const safer = defaults.profile === "weft";
  const budget = safer && !defaults.retryBudget?.written ? defaults.retryBudget : undefined;
  const retryBudget = budget && { percent: budget.percent, atLeast: budget.minConcurrency };
  const hedging = onlyGrpc || hasOwnTimes(route) ? undefined : defaults.hedging;
  return routes.map((one, i) =>
    withWords(one, {
      ...(safer ? { unwrittenRetries: true } : {}),
      ...(retryBudget ? { retryBudget } : {}),
      ...(hedging && i === 0 ? { hedging: { ...hedging } } : {}),
    }),
  );
};

/** Somebody wrote how long requests may take, or chose their hosts by hash: a second try would ask the same one. */
const hasOwnTimes = ({ route }: RouteJson): boolean =>
  (route?.timeout ?? "0s") !== "0s" || (route?.hashPolicy?.length ?? 0) > 0;

type Words = NonNullable<NonNullable<RouteJson["metadata"]>["filterMetadata"]>[string];

/** With more of what only our own sidecar reads. */
const withWords = (route: RouteJson, words: Words): RouteJson => {
  if (Object.keys(words).length === 0) return route;
  const known = route.metadata?.filterMetadata;
  return { ...route, metadata: { filterMetadata: { ...known, weft: { ...known?.weft, ...words } } } };
};

/** The route for requests that may be repeated, then the route itself; what forwards nothing stays alone. */
const byMethod = (route: RouteJson): readonly RouteJson[] => {
  const policy = route.route?.retryPolicy;
  if (!policy) return [route];
  const method = route.match?.headers?.find(({ name }) => name === ":method")?.stringMatch?.exact;
  if (method !== undefined && !idempotent.split("|").includes(method)) return [route];
  const [onMethod, ...onOthers] = repeatable;
  const asked = method === undefined && onMethod ? [onMethod, ...onOthers] : onOthers;
  const headers = [...(route.match?.headers ?? []), ...asked];
  const retryPolicy = { ...policy, retryOn: repeatableOn };
  return [{ ...route, match: { ...route.match, headers }, route: { ...route.route, retryPolicy } }, route];
};

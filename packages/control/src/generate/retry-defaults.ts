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

/** Whether routes nobody wrote retries for are told apart by method. Programs that speak gRPC only POST. */
export const repeatsByMethod = ({ model, proxy }: Scope): boolean =>
  model.mesh.defaults.profile === "weft" && model.mesh.defaultHttpRetryPolicy === undefined && proxy.kind !== "grpc";

/** The route for requests that may be repeated, then the route itself; what forwards nothing stays alone. */
export const byMethod = (route: RouteJson): readonly RouteJson[] => {
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

import type { RouteActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member } from "../compile/fields.ts";
import { compileRateLimits, type RateLimitRule } from "../rate-limits/rate-limit-actions.ts";

/** The rules of a route and of its virtual host; a filter chooses among them. */
export interface RouteRateLimits {
  readonly route: readonly RateLimitRule[];
  readonly virtualHost: readonly RateLimitRule[];
  readonly both: readonly RateLimitRule[];
  /** The route wants the virtual host's rules beside its own, whatever the filter says. */
  readonly includesHost: boolean;
}

/** `undefined` where there are none. */
export const compileRouteLimits = (
  json: RouteActionJson | undefined,
  at: string,
  virtualHost: readonly RateLimitRule[],
): RouteRateLimits | undefined => {
  const route = compileRateLimits(json?.rateLimits, member(at, "rateLimits"));
  if (route.length + virtualHost.length === 0) return undefined;
  const includesHost = json?.includeVhRateLimits === true;
  return { route, virtualHost, both: [...route, ...virtualHost], includesHost };
};

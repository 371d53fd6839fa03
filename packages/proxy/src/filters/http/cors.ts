/** Cross-origin requests: answers preflights, marks the others. Its policy comes with the route. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { CorsPolicyJson } from "@weft/xds/gen/envoy/extensions/filters/http/cors/v3/cors";
import { member, refuseOthers } from "../../compile/fields.ts";
import type { Exchange, LocalReply } from "../../http/exchange.ts";
import { stateOf } from "../../http/request-state.ts";
import { drawShare, runtimeShare } from "../../matching/runtime-fraction.ts";
import { compileStringMatcher } from "../../matching/string-matcher.ts";
import type { HttpFilterKind } from "./filter.ts";

export const corsFilterName = "envoy.filters.http.cors";

/** The origin of a request that this filter saw and allows; one answered before it came here has none. */
const originState = "weft.cors.origin";

interface CorsPolicy {
  readonly allows: (origin: string) => boolean;
  readonly enabledShare: number;
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly credentials: boolean;
  readonly privateNetwork: boolean;
  readonly forwardNotMatching: boolean;
}

const compilePolicy = (json: CorsPolicyJson, at: string): CorsPolicy => {
  refuseOthers(json, "CorsPolicy", at, [
    "allowOriginStringMatch",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
    "allowCredentials",
    "filterEnabled",
    "allowPrivateNetworkAccess",
    "forwardNotMatchingPreflights",
  ]);
  const origins = (json.allowOriginStringMatch ?? []).map((matcher, index) =>
    compileStringMatcher(matcher, `${member(at, "allowOriginStringMatch")}[${index}]`),
  );
  const anyOrigin = (json.allowOriginStringMatch ?? []).some(({ exact }) => exact === "*");
  for (const [name, value] of Object.entries(json)) {
    if (typeof value === "string" && /[\r\n\0]/.test(value))
      throw new ConfigError(member(at, name), "must be one line");
  }
  return {
    allows: (origin) => anyOrigin || origins.some((test) => test(origin)),
    enabledShare: json.filterEnabled ? runtimeShare(json.filterEnabled, member(at, "filterEnabled")) : 1,
    allowMethods: json.allowMethods ?? "",
    allowHeaders: json.allowHeaders ?? "",
    exposeHeaders: json.exposeHeaders ?? "",
    maxAge: json.maxAge ?? "",
    credentials: json.allowCredentials === true,
    privateNetwork: json.allowPrivateNetworkAccess === true,
    forwardNotMatching: json.forwardNotMatchingPreflights ?? true,
  };
};

/** The deprecated `cors` of a route action or virtual host means the same as the filter's own settings. */
export const legacyCors = (json: CorsPolicyJson, at: string): unknown => compilePolicy(json, at);

const isPreflight = ({ method, headers }: RequestHead): boolean =>
  method === "OPTIONS" && (headers.get("access-control-request-method") ?? "") !== "";

/** What is allowed; `*` stands for what the request asks about. */
const allowed = (configured: string, request: RequestHead, asks: string): string =>
  configured === "*" ? (request.headers.get(asks) ?? "") : configured;

/** As in Envoy, an origin that is not allowed is told all but that it is. */
const preflightReply = (policy: CorsPolicy, origin: string | undefined, request: RequestHead): LocalReply => {
  const headers: [string, string][] = [];
  if (origin !== undefined) headers.push(["access-control-allow-origin", origin]);
  if (policy.credentials) headers.push(["access-control-allow-credentials", "true"]);
  if (policy.allowMethods !== "") {
    const methods = allowed(policy.allowMethods, request, "access-control-request-method");
    headers.push(["access-control-allow-methods", methods]);
  }
  if (policy.allowHeaders !== "") {
    const names = allowed(policy.allowHeaders, request, "access-control-request-headers");
    headers.push(["access-control-allow-headers", names]);
  }
  if (policy.maxAge !== "") headers.push(["access-control-max-age", policy.maxAge]);
  if (request.headers.get("access-control-request-private-network") === "true" && policy.privateNetwork) {
    headers.push(["access-control-allow-private-network", "true"]);
  }
  return { status: 200, flags: "", details: "cors_preflight", body: "", headers, untouched: true };
};

/** Only a route that forwards has one: a redirect or an answer of the route is the same for everybody. */
const policyOf = (exchange: Exchange): CorsPolicy | undefined => {
  if (exchange.route?.action.kind !== "forward") return undefined;
  const policy = exchange.route.filterConfig.get(corsFilterName);
  return typeof policy === "object" ? (policy as CorsPolicy) : undefined;
};

export const cors: HttpFilterKind = {
  name: corsFilterName,
  typeName: "envoy.extensions.filters.http.cors.v3.Cors",

  configure(raw) {
    refuseOthers(raw, "Cors", "", []);
    return ({ random, counter, statPrefix }) => {
      const valid = counter(`${statPrefix}.cors.origin_valid`);
      const invalid = counter(`${statPrefix}.cors.origin_invalid`);
      return {
        onRequest(exchange) {
          const origin = exchange.request.headers.get("origin");
          if (!origin) return undefined;
          const policy = policyOf(exchange);
          if (!policy || !drawShare(policy.enabledShare, random)()) return undefined;
          const isAllowed = policy.allows(origin);
          (isAllowed ? valid : invalid).add(1);
          if (isAllowed) stateOf(exchange).filterState.set(originState, origin);
          if (!isPreflight(exchange.request) || (!isAllowed && policy.forwardNotMatching)) return undefined;
          return preflightReply(policy, isAllowed ? origin : undefined, exchange.request);
        },
        onResponse(exchange) {
          const origin = exchange.state?.filterState.get(originState);
          const policy = origin === undefined ? undefined : policyOf(exchange);
          if (origin === undefined || policy === undefined) return;
          const { headers } = exchange.response;
          headers.set("access-control-allow-origin", origin);
          if (policy.credentials) headers.set("access-control-allow-credentials", "true");
          if (policy.exposeHeaders !== "") headers.set("access-control-expose-headers", policy.exposeHeaders);
        },
      };
    };
  },

  configureRoute: (raw) => compilePolicy(raw as CorsPolicyJson, ""),
};

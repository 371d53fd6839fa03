/** Compiles one route: its match, its action, its header operations, its filter settings. */
import { ConfigError } from "@weft/core/config-error";
import type { DirectResponseActionJson, RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { corsFilterName, legacyCors } from "../filters/http/cors.ts";
import type { HttpFilterKind } from "../filters/http/filter.ts";
import { compileFilterConfig, type FilterConfig } from "./filter-config.ts";
import { compileForward, type Inherited } from "./forward.ts";
import { compileHeaderEdits, type EditHeaders, sequence } from "./header-edits.ts";
import { compilePathMatcher, type PathMatcher } from "./path-matcher.ts";
import { compileRedirect } from "./redirect.ts";
import type { MatchedLength } from "./rewrite.ts";
import type { DirectResponseAction, Route, RouteAction } from "./route.ts";
import { compileRestMatcher, type RestMatcher } from "./route-match.ts";

export interface CompiledRoute {
  readonly path: PathMatcher;
  readonly rest: RestMatcher;
  readonly route: Route;
}

/** What a route takes from its virtual host and table. */
export interface RouteContext {
  readonly tools: CompileTools;
  readonly kinds: readonly HttpFilterKind[];
  readonly virtualHost: string;
  readonly inherited: Inherited;
  readonly filterConfig: FilterConfig;
  readonly attemptCount: Route["attemptCount"];
  /** Header operations of virtual host and table, in the order they run. */
  readonly editRequest: readonly EditHeaders[];
  readonly editResponse: readonly EditHeaders[];
  /** True when the most specific operation shall win, so that it runs last. */
  readonly specificLast: boolean;
  readonly directBodyBytesMax: number;
  readonly addClusters: (names: readonly string[]) => void;
}

const compileDirect = (json: DirectResponseActionJson, at: string, bytesMax: number): DirectResponseAction => {
  refuseOthers(json, "DirectResponseAction", at, ["status", "body"]);
  const status = required(unsigned(json.status, member(at, "status")), member(at, "status"));
  if (status < 200 || status > 599) throw new ConfigError(member(at, "status"), `${status} is not from 200 to 599`);
  const bodyAt = member(at, "body");
  if (json.body) refuseOthers(json.body, "DataSource", bodyAt, ["inlineString", "inlineBytes"]);
  const { inlineString, inlineBytes } = json.body ?? {};
  const body = inlineBytes === undefined ? Buffer.from(inlineString ?? "") : Buffer.from(inlineBytes, "base64");
  if (body.length > bytesMax)
    throw new ConfigError(bodyAt, `has ${body.length} bytes, at most ${bytesMax} are allowed`);
  return { kind: "direct", status, body };
};

const compileAction = (
  json: RouteJson,
  at: string,
  { matchedLength, context }: { matchedLength: MatchedLength; context: RouteContext },
): RouteAction => {
  if (json.redirect) return compileRedirect(json.redirect, matchedLength, member(at, "redirect"));
  if (json.directResponse) {
    return compileDirect(json.directResponse, member(at, "directResponse"), context.directBodyBytesMax);
  }
  if (!json.route) throw new ConfigError(at, "needs route, redirect or directResponse");
  const { inherited, tools } = context;
  const { action, clusterNames } = compileForward(json.route, member(at, "route"), { matchedLength, inherited, tools });
  context.addClusters(clusterNames);
  return action;
};

/** The order in which levels' operations run: the most specific first, unless it is to have the last word. */
const levels = (own: EditHeaders, wider: readonly EditHeaders[], specificLast: boolean): EditHeaders =>
  sequence(specificLast ? [...wider].reverse().concat(own) : [own, ...wider]);

export const compileRoute = (json: RouteJson, at: string, context: RouteContext): CompiledRoute => {
  refuseOthers(json, "Route", at, [
    "name",
    "match",
    "route",
    "redirect",
    "directResponse",
    "metadata",
    "typedPerFilterConfig",
    "requestHeadersToAdd",
    "requestHeadersToRemove",
    "responseHeadersToAdd",
    "responseHeadersToRemove",
  ]);
  const { tools, kinds, specificLast } = context;
  const matchAt = member(at, "match");
  const match = required(json.match, matchAt);
  const path = compilePathMatcher(match, matchAt);
  const action = compileAction(json, at, { matchedLength: path.matchedLength, context });
  const { clock } = tools;
  const request = compileHeaderEdits({
    add: json.requestHeadersToAdd,
    remove: json.requestHeadersToRemove,
    direction: "request",
    clock,
    at,
  });
  const response = compileHeaderEdits({
    add: json.responseHeadersToAdd,
    remove: json.responseHeadersToRemove,
    direction: "response",
    clock,
    at,
  });
  let filterConfig = context.filterConfig;
  const cors = json.route?.cors;
  if (cors) filterConfig = new Map(filterConfig).set(corsFilterName, legacyCors(cors, `${at}.route.cors`));
  filterConfig = compileFilterConfig(json.typedPerFilterConfig, at, { wider: filterConfig, kinds });
  return {
    path,
    rest: compileRestMatcher(match, matchAt, tools),
    route: {
      name: json.name ?? "",
      virtualHost: context.virtualHost,
      action,
      editRequest: levels(request, context.editRequest, specificLast),
      editResponse: levels(response, context.editResponse, specificLast),
      filterConfig,
      metadata: (json.metadata?.filterMetadata ?? {}) as Route["metadata"],
      attemptCount: context.attemptCount,
    },
  };
};

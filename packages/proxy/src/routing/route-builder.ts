/** Compiles one route: its match, its action, its header operations, its filter settings. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { DirectResponseActionJson, RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { corsFilterName, legacyCors } from "../filters/http/cors.ts";
import type { HttpFilterKind } from "../filters/http/filter.ts";
import type { RateLimitRule } from "../rate-limits/rate-limit-actions.ts";
import { compileBufferBound } from "./buffer-bound.ts";
import { compileFilterConfig, type FilterConfig, withFilterConfig } from "./filter-config.ts";
import { type CompiledForward, compileForward, type Inherited } from "./forward.ts";
import { compileHeaderEdits, type EditHeaders, sequence } from "./header-edits.ts";
import { compileHedging } from "./hedging.ts";
import { compileMetadataMatch } from "./metadata-match.ts";
import { compilePathMatcher, type PathMatcher } from "./path-matcher.ts";
import { compileRouteLimits } from "./rate-limit-rules.ts";
import { compileRedirect } from "./redirect.ts";
import { compileRetryBudget, compileUnwritten } from "./retry-budget.ts";
import type { DirectResponseAction, ForwardAction, Route, RouteAction } from "./route.ts";
import { compileRestMatcher, type RestMatcher } from "./route-match.ts";

export interface CompiledRoute {
  readonly path: PathMatcher;
  readonly rest: RestMatcher;
  readonly route: Route;
  /** Draws the cluster as soon as the route matched, where clusters differ in more than their names. */
  readonly split: ((request: RequestHead) => Route) | undefined;
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
  readonly bufferBytesMax: number | undefined;
  readonly rateLimits: readonly RateLimitRule[];
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

interface CompiledAction {
  readonly action: RouteAction;
  readonly entries?: CompiledForward["entries"];
}

const compileAction = (
  json: RouteJson,
  at: string,
  { path, context }: { readonly path: PathMatcher; readonly context: RouteContext },
): CompiledAction => {
  if (json.redirect) return { action: compileRedirect(json.redirect, path.matchedLength, member(at, "redirect")) };
  if (json.directResponse) {
    return { action: compileDirect(json.directResponse, member(at, "directResponse"), context.directBodyBytesMax) };
  }
  if (!json.route) throw new ConfigError(at, "needs route, redirect or directResponse");
  const { inherited, tools } = context;
  const forward = compileForward(json.route, member(at, "route"), { path, inherited, tools });
  context.addClusters(forward.clusterNames);
  return forward;
};

/** A route for each cluster, with what that cluster's entry says over what the route says. */
const compileSplit = (
  route: Route,
  { action, entries }: CompiledAction,
  { kinds, tools }: RouteContext,
): CompiledRoute["split"] => {
  if (!entries || action.kind !== "forward") return undefined;
  const { random } = tools;
  const routes = entries.list.map(({ choose, typedPerFilterConfig, metadataMatch, at }): Route => {
    const { config, off } = compileFilterConfig(typedPerFilterConfig, at, {
      wider: { config: route.filterConfig, off: route.filtersOff },
      kinds,
      tools,
    });
    const own: ForwardAction = {
      ...action,
      clusterName: choose,
      metadataMatch: compileMetadataMatch(metadataMatch, member(at, "metadataMatch"), action.metadataMatch),
    };
    return { ...route, filterConfig: config, filtersOff: off, action: own };
  });
  return (request) => routes[entries.index(request, random())] ?? route;
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
    "perRequestBufferLimitBytes",
  ]);
  const { tools, kinds, specificLast } = context;
  const matchAt = member(at, "match");
  const match = required(json.match, matchAt);
  const path = compilePathMatcher(match, matchAt);
  const compiled = compileAction(json, at, { path, context });
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
  let wider = context.filterConfig;
  const cors = json.route?.cors;
  if (cors) wider = withFilterConfig(wider, corsFilterName, legacyCors(cors, `${at}.route.cors`));
  const { config, off } = compileFilterConfig(json.typedPerFilterConfig, at, { wider, kinds, tools });
  const metadata = (json.metadata?.filterMetadata ?? {}) as Route["metadata"];
  const route: Route = {
    name: json.name ?? "",
    virtualHost: context.virtualHost,
    action: compiled.action,
    editRequest: levels(request, context.editRequest, specificLast),
    editResponse: levels(response, context.editResponse, specificLast),
    filterConfig: config,
    filtersOff: off,
    metadata,
    retryBudget: compileRetryBudget(metadata, member(at, "metadata")),
    unwrittenRetries: compileUnwritten(metadata, member(at, "metadata")),
    hedging: compileHedging(metadata, member(at, "metadata")),
    attemptCount: context.attemptCount,
    rateLimits: compileRouteLimits(json.route, member(at, "route"), context.rateLimits),
    bufferBytesMax:
      compileBufferBound(json.perRequestBufferLimitBytes, member(at, "perRequestBufferLimitBytes")) ??
      context.bufferBytesMax,
  };
  const rest = compileRestMatcher(match, matchAt, tools);
  return { path, rest, route, split: compileSplit(route, compiled, context) };
};

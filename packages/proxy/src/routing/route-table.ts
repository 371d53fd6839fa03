import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, oneOf, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { corsFilterName, legacyCors } from "../filters/http/cors.ts";
import type { HttpFilterKind } from "../filters/http/filter.ts";
import { httpFilters } from "../filters/http/index.ts";
import { compileVhds } from "../on-demand/on-demand.ts";
import { compileRateLimits } from "../rate-limits/rate-limit-actions.ts";
import { compileBufferBound } from "./buffer-bound.ts";
import { compileFilterConfig, type FilterConfig, noFilterConfig, withFilterConfig } from "./filter-config.ts";
import { compileHedge } from "./forward.ts";
import { compileHeaderEdits } from "./header-edits.ts";
import { compileMirrors } from "./mirror-policy.ts";
import { httpsRedirect } from "./redirect.ts";
import { type CompileRetry, sharedRetries } from "./retry-policy.ts";
import type { ForwardAction, LearnHost, Route, RouteTable } from "./route.ts";
import { type CompiledRoute, compileRoute, type RouteContext } from "./route-builder.ts";
import { HostRoutes, indexRoutes } from "./route-index.ts";
import { type DomainEntry, Domains } from "./virtual-hosts.ts";

/** Envoy's bound on the body of a direct response when the table sets none. */
const defaultDirectBodyBytesMax = 4096;

export interface RouteTools extends CompileTools {
  /** The filters whose per-route settings are understood; all built in ones when absent. */
  readonly filters?: readonly HttpFilterKind[];
  /** Another thread has seen to it that virtual hosts that come one by one fit together; these may not come in order. */
  readonly judged?: boolean;
}

const needsTls = (requirement: "ALL" | "EXTERNAL_ONLY", request: RequestHead): boolean => {
  if (requirement === "EXTERNAL_ONLY" && request.headers.get("x-envoy-internal") === "true") return false;
  return (request.headers.get("x-forwarded-proto") ?? request.scheme) !== "https";
};

/** A virtual host that requires TLS answers plaintext with a redirect before any of its routes is tried. */
const requireTls = (json: VirtualHostJson, at: string, routes: HostRoutes, redirect: Route): HostRoutes => {
  const requirement = oneOf(json.requireTls, ["NONE", "ALL", "EXTERNAL_ONLY"], "NONE", member(at, "requireTls"));
  if (requirement === "NONE") return routes;
  return new HostRoutes((request, downstream) =>
    needsTls(requirement, request) ? redirect : routes.match(request, downstream),
  );
};

const edits = (
  json: Pick<
    VirtualHostJson,
    "requestHeadersToAdd" | "requestHeadersToRemove" | "responseHeadersToAdd" | "responseHeadersToRemove"
  >,
  at: string,
  { clock }: CompileTools,
) => ({
  request: compileHeaderEdits({
    add: json.requestHeadersToAdd,
    remove: json.requestHeadersToRemove,
    direction: "request",
    clock,
    at,
  }),
  response: compileHeaderEdits({
    add: json.responseHeadersToAdd,
    remove: json.responseHeadersToRemove,
    direction: "response",
    clock,
    at,
  }),
});

/** What the table gives its virtual hosts. */
interface TableContext {
  readonly json: RouteConfigurationJson;
  readonly tools: CompileTools;
  readonly kinds: readonly HttpFilterKind[];
  readonly filterConfig: FilterConfig;
  readonly tableEdits: ReturnType<typeof edits>;
  readonly mirrors: ForwardAction["mirrors"];
  readonly directBodyBytesMax: number;
  readonly compileRetry: CompileRetry;
  readonly addClusters: (names: readonly string[]) => void;
  readonly judged: boolean;
}

const routeContext = (json: VirtualHostJson, at: string, table: TableContext): RouteContext => {
  const { tools, kinds, tableEdits } = table;
  const own = edits(json, at, tools);
  let { filterConfig } = table;
  if (json.cors)
    filterConfig = withFilterConfig(filterConfig, corsFilterName, legacyCors(json.cors, member(at, "cors")));
  return {
    tools,
    kinds,
    virtualHost: json.name ?? "",
    inherited: {
      retry: table.compileRetry(json.retryPolicy, member(at, "retryPolicy")),
      compileRetry: table.compileRetry,
      mirrors: compileMirrors(json.requestMirrorPolicies, member(at, "requestMirrorPolicies")) ?? table.mirrors,
      hedges: compileHedge(json.hedgePolicy, member(at, "hedgePolicy")) ?? false,
    },
    filterConfig: compileFilterConfig(json.typedPerFilterConfig, at, { wider: filterConfig, kinds, tools }),
    attemptCount: {
      inRequest: json.includeRequestAttemptCount === true,
      inResponse: json.includeAttemptCountInResponse === true,
      timeoutInRequest: json.includeIsTimeoutRetryHeader === true,
    },
    editRequest: [own.request, tableEdits.request],
    editResponse: [own.response, tableEdits.response],
    specificLast: table.json.mostSpecificHeaderMutationsWins === true,
    directBodyBytesMax: table.directBodyBytesMax,
    bufferBytesMax: compileBufferBound(json.perRequestBufferLimitBytes, member(at, "perRequestBufferLimitBytes")),
    rateLimits: compileRateLimits(json.rateLimits, member(at, "rateLimits")),
    addClusters: table.addClusters,
  };
};

function* compileVirtualHost(json: VirtualHostJson, at: string, table: TableContext): Generator<undefined, HostRoutes> {
  refuseOthers(json, "VirtualHost", at, [
    "name",
    "domains",
    "routes",
    "requireTls",
    "requestHeadersToAdd",
    "requestHeadersToRemove",
    "responseHeadersToAdd",
    "responseHeadersToRemove",
    "cors",
    "typedPerFilterConfig",
    "includeRequestAttemptCount",
    "includeAttemptCountInResponse",
    "retryPolicy",
    "requestMirrorPolicies",
    "hedgePolicy",
    "includeIsTimeoutRetryHeader",
    "perRequestBufferLimitBytes",
    "rateLimits",
  ]);
  required(json.name, member(at, "name"));
  const context = routeContext(json, at, table);
  const routes: CompiledRoute[] = [];
  for (const [index, route] of (json.routes ?? []).entries()) {
    routes.push(compileRoute(route, `${at}.routes[${index}]`, context));
    yield;
  }
  const nothing = () => {};
  const redirect: Route = {
    name: "",
    virtualHost: context.virtualHost,
    action: httpsRedirect,
    editRequest: nothing,
    editResponse: nothing,
    filterConfig: context.filterConfig.config,
    filtersOff: context.filterConfig.off,
    metadata: {},
    attemptCount: context.attemptCount,
  };
  return requireTls(json, at, indexRoutes(routes), redirect);
}

/** Compiles a RouteConfiguration. Throws ConfigError for anything in it that would not be honoured. */
export const compileRouteTable = (json: RouteConfigurationJson, tools: RouteTools): RouteTable =>
  allSteps(compileRouteTableInSteps(json, tools));

/** The same a route at a time, so that requests may be served in between. */
export function* compileRouteTableInSteps(
  json: RouteConfigurationJson,
  tools: RouteTools,
): Generator<undefined, RouteTable> {
  refuseOthers(json, "RouteConfiguration", "", [
    "name",
    "virtualHosts",
    "requestHeadersToAdd",
    "requestHeadersToRemove",
    "responseHeadersToAdd",
    "responseHeadersToRemove",
    "mostSpecificHeaderMutationsWins",
    "requestMirrorPolicies",
    "ignorePortInHostMatching",
    "typedPerFilterConfig",
    "maxDirectResponseBodySizeBytes",
    "internalOnlyHeaders",
    "vhds",
  ]);
  if ((json.internalOnlyHeaders ?? []).length > 0) throw new ConfigError("internalOnlyHeaders", "is not supported");
  const clusterNames = new Set<string>();
  const kinds = tools.filters ?? httpFilters;
  const table: TableContext = {
    json,
    tools,
    kinds,
    filterConfig: compileFilterConfig(json.typedPerFilterConfig, "", { wider: noFilterConfig, kinds, tools }),
    tableEdits: edits(json, "", tools),
    mirrors: compileMirrors(json.requestMirrorPolicies, "requestMirrorPolicies") ?? [],
    directBodyBytesMax:
      unsigned(json.maxDirectResponseBodySizeBytes, "maxDirectResponseBodySizeBytes") ?? defaultDirectBodyBytesMax,
    compileRetry: sharedRetries(),
    judged: tools.judged === true,
    addClusters: (names) => {
      for (const name of names) clusterNames.add(name);
    },
  };
  const domains = new Domains<HostRoutes>({ ignorePort: json.ignorePortInHostMatching === true });
  const byName = new Map<string, readonly DomainEntry<HostRoutes>[]>();
  for (const [index, host] of (json.virtualHosts ?? []).entries()) {
    const at = `virtualHosts[${index}]`;
    const value = yield* compileVirtualHost(host, at, table);
    if (byName.has(host.name ?? "")) throw new ConfigError(`${at}.name`, `"${host.name}" is given twice`);
    const entries = domainsOf(host, at, value);
    domains.check(entries);
    domains.put(entries);
    byName.set(host.name ?? "", entries);
  }
  return {
    name: json.name ?? "",
    match: (request, downstream) => domains.find(request.authority)?.match(request, downstream),
    clusterNames,
    names: (authority) => domains.names(authority),
    vhds: json.vhds && compileVhds(json.vhds, "vhds", tools.onDemand),
    learn: json.vhds && learnInto(table, domains, byName),
  };
}

const domainsOf = (host: VirtualHostJson, at: string, value: HostRoutes): readonly DomainEntry<HostRoutes>[] => {
  const place = member(at, "domains");
  if ((host.domains ?? []).length === 0) throw new ConfigError(place, "is required");
  return (host.domains ?? []).map((domain, index) => ({ domain, at: `${place}[${index}]`, value }));
};

const learnInto =
  (
    table: TableContext,
    domains: Domains<HostRoutes>,
    byName: Map<string, readonly DomainEntry<HostRoutes>[]>,
  ): LearnHost =>
  ({ replaces, json }, { buckets }) => {
    const leaving = replaces === undefined ? [] : (byName.get(replaces) ?? []);
    const leave = (): void => {
      if (replaces === undefined) return;
      domains.remove(leaving);
      byName.delete(replaces);
    };
    if (json === undefined) return leave;
    const name = json.name ?? "";
    if (!table.judged && name !== replaces && byName.has(name))
      throw new ConfigError("name", `"${name}" is given twice`);
    // Of a host that goes nothing is to stay with the table.
    const own = { tools: { ...table.tools, buckets }, compileRetry: sharedRetries(), addClusters: () => {} };
    const value = allSteps(compileVirtualHost(json, "", { ...table, ...own }));
    const entries = domainsOf(json, "", value);
    if (!table.judged) domains.check(entries, leaving);
    return () => {
      leave();
      domains.put(entries);
      byName.set(name, entries);
    };
  };

const allSteps = <T>(work: Generator<undefined, T>): T => {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
};

/** Routes of one virtual host: a VirtualService's rules in order, or the service's default. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { Destination, HttpMatchRequest, HttpRoute } from "@weft/config/kinds/virtual-service";
import { parseGoDuration, toProtoDuration } from "@weft/core/duration";
import type { RouteAction_HashPolicyJson, RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { resolveHost } from "../model/hostname.ts";
import { isHttp } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import type { VirtualServiceRule } from "../model/traffic-rules.ts";
import { labelsMatch } from "../model/workload-policies.ts";
import { outboundCluster } from "./names.ts";
import { note } from "./resource-set.ts";
import { type RouteTools, retryPolicy, routeAction } from "./route-action.ts";
import { isCatchAll, routeMatch } from "./route-match.ts";
import type { Scope } from "./scope.ts";
import { policyFor } from "./traffic-policy.ts";

export interface RuleContext {
  readonly scope: Scope;
  /** `mesh` or the gateway's `NAMESPACE/NAME`. */
  readonly gateway: string;
  /** Port of the listener or of the service. */
  readonly port: number;
  readonly secure: boolean;
  readonly notes: Finding[];
}

/** The service a destination names, as its rule's namespace reads it. */
export const destinationService = (scope: Scope, host: string, namespace: string): Service | undefined => {
  const hostname = resolveHost(host, namespace, scope.model.mesh.domain);
  return (
    scope.model.visibleServices(scope.proxy.namespace).get(hostname) ??
    scope.model.visibleServices(namespace).get(hostname)
  );
};

/** Port given, else the service's only one, else the one the request came for. */
export const destinationCluster = (
  context: Pick<RuleContext, "scope" | "port">,
  destination: Destination,
  namespace: string,
): string => {
  const service = destinationService(context.scope, destination.host, namespace);
  const only = service?.ports.length === 1 ? service.ports[0]?.number : undefined;
  const hostname = service?.hostname ?? resolveHost(destination.host, namespace, context.scope.model.mesh.domain);
  return outboundCluster(hostname, destination.port?.number ?? only ?? context.port, destination.subset);
};

/** What consistent hashing hashes, from the policy of the destination. */
export const hashPolicies = (
  scope: Scope,
  service: Service,
  port: number,
  subset = "",
): readonly RouteAction_HashPolicyJson[] => {
  const policy = scope.model.rules().destinationPolicy(service, scope.proxy);
  const hash = policyFor(policy, port, subset).loadBalancer?.consistentHash;
  if (!hash) return [];
  if (hash.httpHeaderName) return [{ header: { headerName: hash.httpHeaderName } }];
  if (hash.httpQueryParameterName) return [{ queryParameter: { name: hash.httpQueryParameterName } }];
  if (hash.useSourceIp) return [{ connectionProperties: { sourceIp: true } }];
  const cookie = hash.httpCookie;
  if (!cookie) return [];
  return [
    {
      cookie: {
        name: cookie.name,
        ...(cookie.ttl === undefined ? {} : { ttl: toProtoDuration(parseGoDuration(cookie.ttl) ?? 0) }),
        ...(cookie.path ? { path: cookie.path } : {}),
        ...(cookie.attributes?.length
          ? { attributes: cookie.attributes.map(({ name, value }) => ({ name, value: value ?? "" })) }
          : {}),
      },
    },
  ];
};

/** The route to a service no rule speaks of. */
export const defaultRoute = (scope: Scope, service: Service, port: number): RouteJson => {
  const hashPolicy = hashPolicies(scope, service, port);
  const retry = retryPolicy(undefined, hashPolicy.length > 0);
  return {
    name: "default",
    match: { prefix: "/" },
    route: {
      cluster: outboundCluster(service.hostname, port),
      timeout: "0s",
      maxGrpcTimeout: "0s",
      ...(retry ? { retryPolicy: retry } : {}),
      ...(hashPolicy.length > 0 ? { hashPolicy: [...hashPolicy] } : {}),
    },
    decorator: { operation: `${service.hostname}:${port}/*` },
  };
};

/** Conditions that are decided now, not per request: the client's labels and namespace, the gateway, the port. */
const applies = (match: HttpMatchRequest, { scope, gateway, port }: RuleContext, namespace: string): boolean =>
  (match.port === undefined || match.port === port) &&
  (match.sourceNamespace === undefined || match.sourceNamespace === scope.proxy.namespace) &&
  labelsMatch(match.sourceLabels, scope.proxy.labels) &&
  (!match.gateways?.length ||
    match.gateways.some((name) => gateway === (name === "mesh" || name.includes("/") ? name : `${namespace}/${name}`)));

/**
 * A VirtualService's routes, one for each alternative of each rule. A rule that takes every request ends the list: Envoy
 * would never reach the ones after it.
 */
export const rulesRoutes = (context: RuleContext, { object, hosts }: VirtualServiceRule): readonly RouteJson[] => {
  const routes: RouteJson[] = [];
  const tools = toolsFor(context, object);
  for (const rule of object.spec.http ?? []) {
    if (rule.delegate) {
      context.notes.push(
        note("WF1531", `delegate "${rule.delegate.name ?? ""}" has no effect: its routes are left out`, object),
      );
      continue;
    }
    const action = routeAction(rule, tools);
    if (!action) continue;
    const alternatives: readonly (HttpMatchRequest | undefined)[] = rule.match?.length ? rule.match : [undefined];
    for (const match of alternatives) {
      if (match && !applies(match, context, object.namespace)) continue;
      const route = finish(rule, match, action, { object, port: context.port, host: hosts[0] ?? "" });
      routes.push(route);
      if (route.match && isCatchAll(route.match)) return routes;
    }
  }
  return routes;
};

const finish = (
  rule: HttpRoute,
  match: HttpMatchRequest | undefined,
  action: RouteJson,
  { object, port, host }: { readonly object: ConfigOf<"VirtualService">; readonly port: number; readonly host: string },
): RouteJson => {
  const name = [rule.name, match?.name].filter((part) => part).join(".");
  return {
    ...(name === "" ? {} : { name }),
    match: routeMatch(match),
    ...action,
    metadata: {
      filterMetadata: {
        istio: { config: `/apis/networking.istio.io/v1/namespaces/${object.namespace}/virtual-service/${object.name}` },
      },
    },
    decorator: { operation: `${rule.route?.[0]?.destination.host ?? host}:${port}${operationPath(match)}` },
    ...(match?.statPrefix ? { statPrefix: match.statPrefix } : {}),
  };
};

const operationPath = (match: HttpMatchRequest | undefined): string => {
  const { exact, prefix, regex } = match?.uri ?? {};
  return exact ?? (prefix === undefined ? (regex ?? "/*") : `${prefix}*`);
};

const toolsFor = (context: RuleContext, object: ConfigOf<"VirtualService">): RouteTools => ({
  port: context.port,
  secure: context.secure,
  clusterOf: (destination) => destinationCluster(context, destination, object.namespace),
  hashPolicyOf: (destination) => {
    const service = destinationService(context.scope, destination.host, object.namespace);
    const port =
      destination.port?.number ?? (service?.ports.length === 1 ? service.ports[0]?.number : undefined) ?? context.port;
    return service ? hashPolicies(context.scope, service, port, destination.subset) : [];
  },
  report: (code, message) => void context.notes.push(note(code, message, object)),
});

/** Ports whose requests are routed: declared HTTP, and those that are looked at. */
export const isRouted = ({ protocol }: ServicePort): boolean => isHttp(protocol) || protocol === "auto";

export interface RouteContext {
  readonly scope: Scope;
  readonly notes: Finding[];
}

/** Routes to one port of a service, by the rule that holds for its host. */
export const serviceRoutes = ({ scope, notes }: RouteContext, service: Service, port: number): readonly RouteJson[] => {
  const rules = scope.model.rules();
  const rule = rules.ruleFor(rules.meshRules(scope.proxy.namespace), service.hostname);
  if (!rule?.object.spec.http?.length) return [defaultRoute(scope, service, port)];
  return rulesRoutes({ scope, notes, port, gateway: "mesh", secure: false }, rule);
};

/** Routes of one virtual host: a VirtualService's rules in order, or the service's default. */
import type { Finding } from "@weft/config/finding";
import type { LoadBalancerSettings } from "@weft/config/kinds/destination-rule";
import type { Destination, HttpMatchRequest } from "@weft/config/kinds/virtual-service";
import { formatPath } from "@weft/config/schema/problem";
import { parseGoDuration, toProtoDuration } from "@weft/core/duration";
import type { RouteAction_HashPolicyJson, RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { isHttp } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import type { HttpRule, VirtualServiceRule } from "../model/virtual-services.ts";
import { labelsMatch } from "../model/workload-policies.ts";
import { policyInputs } from "./kept-parts.ts";
import { outboundCluster, parseClusterName } from "./names.ts";
import { noteAt } from "./resource-set.ts";
import { unwrittenRetries } from "./retry-defaults.ts";
import { type RouteTools, retryPolicy, routeAction } from "./route-action.ts";
import { isCatchAll, routeMatch } from "./route-match.ts";
import type { Scope } from "./scope.ts";

export interface RuleContext {
  readonly scope: Scope;
  /** `mesh` or the gateway's `NAMESPACE/NAME`. */
  readonly gateway: string;
  /** Port of the listener or of the service. */
  readonly port: number;
  readonly secure: boolean;
  readonly notes: Finding[];
}

/** The service of a destination: as the client sees it, else as the rule's namespace does. */
export const destinationService = ({ model, proxy, egress }: Scope, host: string, namespace: string) =>
  egress.services.get(host) ??
  model.visibleServices(proxy.namespace).get(host) ??
  model.visibleServices(namespace).get(host);

/** Port given, else the service's only one, else the one the request came for. */
const destinationPort = (
  { scope, port }: Pick<RuleContext, "scope" | "port">,
  destination: Destination,
  namespace: string,
): number => {
  const ports = destinationService(scope, destination.host, namespace)?.ports ?? [];
  return destination.port?.number ?? (ports.length === 1 ? ports[0]?.number : undefined) ?? port;
};

export const destinationCluster = (
  context: Pick<RuleContext, "scope" | "port">,
  destination: Destination,
  namespace: string,
): string => outboundCluster(destination.host, destinationPort(context, destination, namespace), destination.subset);

/** What the routes of a rule depend on beside the client and the mesh: its destinations, as they are found by name. */
export const ruleInputs = (scope: Scope, rule: VirtualServiceRule): readonly unknown[] => [
  rule,
  ...rule.http.flatMap(({ rule: { route, mirror, mirrors }, object }) =>
    [
      ...(route ?? []).map(({ destination }) => destination),
      ...(mirror ? [mirror] : []),
      ...(mirrors ?? []).map(({ destination }) => destination),
    ].flatMap(({ host }) => destinationInputs(scope, host, object.namespace)),
  ),
];

/** The same of its connections. */
export const connectionInputs = (scope: Scope, rule: VirtualServiceRule): readonly unknown[] => [
  rule,
  ...[...rule.tls, ...rule.tcp]
    .flatMap(({ route }) => route ?? [])
    .flatMap(({ destination }) => destinationInputs(scope, destination.host, rule.object.namespace)),
];

const destinationInputs = (scope: Scope, host: string, namespace: string): readonly unknown[] => {
  const service = destinationService(scope, host, namespace);
  return service ? [service, ...policyInputs(scope, service, scope.proxy)] : [undefined];
};

type ConsistentHashLb = NonNullable<LoadBalancerSettings["consistentHash"]>;

const hashPolicyJson = (hash: ConsistentHashLb | undefined): RouteAction_HashPolicyJson[] => {
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

interface HashSettings {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly portLevelSettings?: readonly {
    readonly port?: { readonly number?: number };
    readonly loadBalancer?: LoadBalancerSettings;
  }[];
}

const hashAt = (policy: HashSettings | undefined, port: number | undefined): ConsistentHashLb | undefined =>
  port === undefined
    ? undefined
    : policy?.portLevelSettings?.find((one) => one.port?.number === port)?.loadBalancer?.consistentHash;

/**
 * What consistent hashing hashes. Istio reads port-level settings only for a destination that names its port; the
 * subset's settings come first.
 */
const destinationHash = (scope: Scope, destination: Destination, namespace: string): RouteAction_HashPolicyJson[] => {
  const service = destinationService(scope, destination.host, namespace);
  const policy = service && scope.model.rules().destinationPolicy(service, scope.proxy);
  const own = policy?.subsets.find(({ name }) => name === destination.subset)?.trafficPolicy;
  const port = destination.port?.number;
  return hashPolicyJson(
    hashAt(own, port) ??
      own?.loadBalancer?.consistentHash ??
      hashAt(policy?.trafficPolicy, port) ??
      policy?.trafficPolicy?.loadBalancer?.consistentHash,
  );
};

/** The routes to a service no rule speaks of. */
export const defaultRoutes = (scope: Scope, service: Service, port: number): readonly RouteJson[] => {
  const route = defaultRoute(scope, service, port);
  const onlyGrpc = service.ports.find(({ number }) => number === port)?.protocol === "grpc";
  return unwrittenRetries(scope, route, onlyGrpc);
};

const defaultRoute = (scope: Scope, service: Service, port: number): RouteJson => {
  const policy = scope.model.rules().destinationPolicy(service, scope.proxy)?.trafficPolicy;
  const hashPolicy = hashPolicyJson(hashAt(policy, port) ?? policy?.loadBalancer?.consistentHash);
  const { defaultHttpRetryPolicy: retries, defaults } = scope.model.mesh;
  const retry = retryPolicy(retries, { hashed: false, profile: defaults.profile });
  return {
    name: "default",
    match: { prefix: "/" },
    route: {
      cluster: outboundCluster(service.hostname, port),
      timeout: "0s",
      maxGrpcTimeout: "0s",
      ...(retry ? { retryPolicy: retry } : {}),
      ...(hashPolicy.length > 0 ? { hashPolicy } : {}),
    },
    decorator: { operation: `${service.hostname}:${port}/*` },
  };
};

/**
 * Conditions that are decided now, not per request. Where a match names gateways, the client's labels and namespace do
 * not count, as in Istio.
 */
const applies = (match: HttpMatchRequest, { scope, gateway, port }: RuleContext): boolean => {
  if (match.port !== undefined && match.port !== port) return false;
  if (match.gateways?.length) return match.gateways.includes(gateway);
  return (
    labelsMatch(match.sourceLabels, scope.proxy.labels) &&
    (!match.sourceNamespace || match.sourceNamespace === scope.proxy.namespace)
  );
};

/**
 * A VirtualService's routes, one for each alternative of each rule. A rule that takes every request ends the list: Envoy
 * would never reach the ones after it.
 */
export const rulesRoutes = (context: RuleContext, rule: VirtualServiceRule): readonly RouteJson[] => {
  const routes: RouteJson[] = [];
  for (const { code, message, object, path } of rule.problems)
    context.notes.push(noteAt(code, message, { object, path }));
  for (const one of rule.http) {
    const action = routeAction(one.rule, toolsFor(context, one));
    if (!action) continue;
    const alternatives: readonly (HttpMatchRequest | undefined)[] = one.rule.match?.length
      ? one.rule.match
      : [undefined];
    for (const [index, match] of alternatives.entries()) {
      if (match && !applies(match, context)) continue;
      const route = finish(one, match, action, { root: rule, port: context.port, index });
      routes.push(...(one.rule.retries === undefined ? unwrittenRetries(context.scope, route) : [route]));
      if (route.match && isCatchAll(route.match)) return routes;
    }
  }
  return routes;
};

/**
 * Where a route is written, for whoever asks why it was taken; Istio's own metadata stops at the object. The matches of
 * a delegate's rule are merged with those that delegate to it, so that theirs have no place of their own.
 */
const writtenAt = ({ object, path }: HttpRule, root: VirtualServiceRule, index: number | undefined) => {
  if (object !== root.object) return { field: formatPath(path), object: `${object.namespace}/${object.name}` };
  return { field: formatPath(index === undefined ? path : [...path, "match", index]) };
};

const finish = (
  one: HttpRule,
  match: HttpMatchRequest | undefined,
  action: RouteJson,
  { root, port, index }: { readonly root: VirtualServiceRule; readonly port: number; readonly index: number },
): RouteJson => {
  const { rule } = one;
  const { namespace, name: rootName } = root.object;
  const name = match?.name ? `${rule.name ?? ""}.${match.name}` : (rule.name ?? "");
  const routed = parseClusterName(action.route?.cluster ?? "");
  const place = routed ? `${routed.hostname}:${routed.port}` : `${rootName}:${port}`;
  return {
    ...(name === "" ? {} : { name }),
    match: routeMatch(match),
    ...action,
    ...(match?.statPrefix ? { statPrefix: match.statPrefix } : {}),
    metadata: {
      filterMetadata: {
        istio: { config: `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${rootName}` },
        weft: writtenAt(one, root, match && index),
      },
    },
    decorator: { operation: `${place}${operationPath(match)}` },
  };
};

const operationPath = (match: HttpMatchRequest | undefined): string => {
  const { exact, prefix, regex } = match?.uri ?? {};
  return exact ?? regex ?? `${prefix ?? "/"}*`;
};

const toolsFor = (context: RuleContext, { object, path }: HttpRule): RouteTools => ({
  port: context.port,
  secure: context.secure,
  retries: context.scope.model.mesh.defaultHttpRetryPolicy,
  profile: context.scope.model.mesh.defaults.profile,
  clusterOf: (destination) => destinationCluster(context, destination, object.namespace),
  hashPolicyOf: (destination) => destinationHash(context.scope, destination, object.namespace),
  report: (code, message) => void context.notes.push(noteAt(code, message, { object, path })),
});

/** Ports whose requests are routed: declared HTTP, and those that are looked at. */
export const isRouted = ({ protocol }: ServicePort): boolean => isHttp(protocol) || protocol === "auto";

export interface RouteContext {
  readonly scope: Scope;
  readonly notes: Finding[];
}

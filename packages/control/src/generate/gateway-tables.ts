/** Route tables of gateways: the hosts that servers and VirtualServices have in common. */
import type { Finding } from "@weft/config/finding";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { compareSpecificity, hostMatches } from "../model/hostname.ts";
import type { VirtualServiceRule } from "../model/virtual-services.ts";
import { type BoundServer, endsTls, isTlsServer, sharedHosts, takesRequests } from "./gateway-servers.ts";
import { isCatchAll } from "./route-match.ts";
import { rulesRoutes } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";

interface Host {
  readonly routes: RouteJson[];
  redirect: boolean;
}

/**
 * One virtual host for each host. Several VirtualServices for the same host follow each other; what takes every request
 * comes last, so that no rule is lost behind another VirtualService's.
 */
export const gatewayTable = (
  scope: Scope,
  name: string,
  servers: readonly BoundServer[],
  context: { readonly port: number; readonly beside: readonly BoundServer[]; readonly notes: Finding[] },
): RouteConfigurationJson => {
  const hosts = new Map<string, Host>();
  const known = new Map<string, readonly RouteJson[]>();
  for (const bound of servers) addServer(scope, bound, { hosts, known, ...context });
  const { port } = context;
  const virtualHosts = [...hosts].map(
    ([host, { routes, redirect }]): VirtualHostJson => ({
      name: `${host}:${port}`,
      domains: [host],
      ...(routes.length > 0 ? { routes: catchAllLast(routes) } : {}),
      includeRequestAttemptCount: true,
      ...(redirect ? { requireTls: "ALL" } : {}),
    }),
  );
  const made = virtualHosts.length > 0 ? collapsed(virtualHosts) : [{ name: `blackhole:${port}`, domains: ["*"] }];
  return {
    name,
    virtualHosts: [...made, ...misdirected(servers[0], context.beside, { hosts, port })].sort((a, b) =>
      (a.name ?? "") < (b.name ?? "") ? -1 : 1,
    ),
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: 1_048_576,
  };
};

interface Tables {
  readonly hosts: Map<string, Host>;
  /** Routes of a Gateway's VirtualServices, which several servers share. */
  readonly known: Map<string, readonly RouteJson[]>;
  readonly beside: readonly BoundServer[];
  readonly notes: Finding[];
}

const addServer = (scope: Scope, bound: BoundServer, { hosts, known, beside, notes }: Tables): void => {
  const { server, id } = bound;
  const secure = endsTls(server);
  const redirect = server.tls?.httpsRedirect === true && !secure;
  const routesOf = (rule: VirtualServiceRule): readonly RouteJson[] => {
    const key = `${id} ${server.port.number} ${secure} ${rule.object.namespace}/${rule.object.name}`;
    const routes = known.get(key) ?? rulesRoutes({ scope, notes, gateway: id, port: server.port.number, secure }, rule);
    known.set(key, routes);
    return routes;
  };
  for (const rule of scope.model.rules().gatewayRules(id, scope.proxy.namespace)) {
    const shared = sharedHosts(bound, rule).filter((host) => !isOthers(host, bound, beside));
    if (shared.length === 0) continue;
    const routes = routesOf(rule);
    if (routes.length === 0) continue;
    for (const host of shared) {
      const entry = hosts.get(host);
      if (entry) {
        entry.routes.push(...routes);
        entry.redirect ||= redirect;
      } else hosts.set(host, { routes: [...routes], redirect });
    }
  }
  if (!redirect) return;
  for (const { host } of bound.hosts) {
    const entry = hosts.get(host);
    if (entry) entry.redirect = true;
    else hosts.set(host, { routes: [], redirect: true });
  }
};

const catchAllLast = (routes: readonly RouteJson[]): RouteJson[] => {
  const takesAll = ({ match }: RouteJson): boolean => match !== undefined && isCatchAll(match);
  return [...routes.filter((route) => !takesAll(route)), ...routes.filter(takesAll)];
};

/** Hosts with the very same routes are one virtual host with all their names. */
const collapsed = (hosts: readonly VirtualHostJson[]): readonly VirtualHostJson[] => {
  const made: VirtualHostJson[] = [];
  const byFirst = new Map<RouteJson | undefined, number[]>();
  const sameRoutes = (a: VirtualHostJson, b: VirtualHostJson): boolean =>
    a.requireTls === b.requireTls &&
    a.routes?.length === b.routes?.length &&
    (a.routes ?? []).every((route, index) => route === b.routes?.[index]);
  for (const host of hosts.toSorted((a, b) => ((a.name ?? "") < (b.name ?? "") ? -1 : 1))) {
    const near = byFirst.get(host.routes?.[0]) ?? [];
    const at = near.find((index) => sameRoutes(made[index] ?? {}, host));
    if (at !== undefined) {
      made[at]?.domains?.push(...(host.domains ?? []));
      continue;
    }
    byFirst.set(host.routes?.[0], [...near, made.length]);
    made.push({ ...host, domains: [...(host.domains ?? [])] });
  }
  return made;
};

/**
 * A client that holds a connection for one server sends requests there for every name its certificate covers (RFC 9113
 * section 9.1.1). What another TLS server of the port is for has other certificates and other rules for clients, so it is
 * sent away (421), and the client opens a connection of its own.
 */
const misdirected = (
  own: BoundServer | undefined,
  beside: readonly BoundServer[],
  { hosts, port }: { readonly hosts: ReadonlyMap<string, Host>; readonly port: number },
): readonly VirtualHostJson[] => {
  if (!own || !isTlsServer(own)) return [];
  const names = own.hosts.map(({ host }) => host);
  const unserved = names.filter((name) => ![...hosts.keys()].some((host) => hostMatches(host, name)));
  const domains = new Set(
    otherHosts(own, beside).filter((host) => !hosts.has(host) && !unserved.some((name) => hostMatches(host, name))),
  );
  if (domains.size === 0) return [];
  return [
    {
      name: `misdirected:${port}`,
      domains: [...domains].sort(),
      routes: [{ name: "misdirected", match: { prefix: "/" }, directResponse: { status: 421 } }],
    },
  ];
};

const otherHosts = (own: BoundServer, beside: readonly BoundServer[]): readonly string[] =>
  beside
    .filter((one) => one !== own && isTlsServer(one) && takesRequests(one))
    .flatMap((one) => one.hosts.map(({ host }) => host));

/** Whether connections for the host come to another TLS server of the port, whose name for it is narrower. */
const isOthers = (host: string, own: BoundServer, beside: readonly BoundServer[]): boolean => {
  const narrowest = (names: readonly string[]): string | undefined =>
    names.filter((name) => hostMatches(name, host)).sort(compareSpecificity)[0];
  const mine = narrowest(own.hosts.map((one) => one.host));
  const theirs = isTlsServer(own) ? narrowest(otherHosts(own, beside)) : undefined;
  return theirs !== undefined && (mine === undefined || compareSpecificity(theirs, mine) < 0);
};

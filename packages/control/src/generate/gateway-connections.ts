/** Chains of gateways that carry connections: raw TCP, TLS that ends here, TLS passed on by its server name. */
import type { Finding } from "@weft/config/finding";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { hostMatches } from "../model/hostname.ts";
import type { Service } from "../model/service.ts";
import { serviceClusters } from "./clusters.ts";
import { type BoundServer, sharedHosts } from "./gateway-servers.ts";
import { meshServerName, outboundCluster } from "./names.ts";
import { noteAt } from "./resource-set.ts";
import type { Scope } from "./scope.ts";
import { carry, carryTo } from "./tcp-routes.ts";
import { fromAds } from "./tls-contexts.ts";

interface ConnectionMatch {
  readonly port?: number;
  readonly gateways?: readonly string[];
}

const applies = (match: ConnectionMatch, { id, server }: BoundServer): boolean =>
  (match.port === undefined || match.port === server.port.number) &&
  (!match.gateways?.length || match.gateways.includes(id));

/** Where the first `tcp` rule for the server's hosts sends connections. */
export const tcpServer = (scope: Scope, bound: BoundServer, notes: Finding[]): FilterJson[] | undefined => {
  for (const rule of scope.model.rules().gatewayRules(bound.id, scope.proxy.namespace)) {
    if (sharedHosts(bound, rule).length === 0) continue;
    for (const { match, route } of rule.tcp) {
      if (!route?.length || (match?.length && !match.some((one) => applies(one, bound)))) continue;
      return carryTo(scope, route, { rule, port: bound.server.port.number });
    }
  }
  const message = `no tcp rule of a VirtualService is for this ${bound.server.port.protocol} server: it is not opened`;
  notes.push(noteAt("WF1542", message, { object: bound.gateway, path: ["spec", "servers", bound.index] }));
  return undefined;
};

export interface NamedChain {
  readonly serverNames: readonly string[];
  readonly alpn: readonly string[];
  readonly filters: FilterJson[];
}

/** TLS passed on as it comes, as the `tls` rules for the server's hosts say. */
export const passthroughServer = (scope: Scope, bound: BoundServer): readonly NamedChain[] =>
  scope.model
    .rules()
    .gatewayRules(bound.id, scope.proxy.namespace)
    .filter((rule) => sharedHosts(bound, rule).length > 0)
    .flatMap((rule) =>
      rule.tls.flatMap(({ match, route }) =>
        match.flatMap((one): readonly NamedChain[] =>
          route?.length && applies(one, bound)
            ? [
                {
                  serverNames: one.sniHosts,
                  alpn: [],
                  filters: carryTo(scope, route, { rule, port: bound.server.port.number }),
                },
              ]
            : [],
        ),
      ),
    );

const meshAlpn = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

/**
 * AUTO_PASSTHROUGH: mesh TLS of other networks' clients goes on to the service, port and subset its server name says. The
 * gateway cannot see into it, so only mesh TLS is taken, and only endpoints that end mesh TLS are dialled.
 */
export const autoPassthrough = (
  scope: Scope,
  bound: BoundServer,
): { readonly chains: readonly NamedChain[]; readonly clusters: readonly ClusterJson[] } => {
  const wanted = [...scope.egress.services.values()].filter(
    ({ location, hostname }) =>
      location !== "external" && bound.hosts.some(({ host }) => hostMatches(host, hostname.toLowerCase())),
  );
  const targets = wanted.flatMap((service) => namesOf(scope, service));
  return {
    chains: targets.map(({ name }) => ({
      serverNames: [name],
      alpn: meshAlpn,
      filters: carry(scope, [{ name, weight: 1 }]),
    })),
    clusters: targets.map(({ cluster }) => cluster),
  };
};

const namesOf = (scope: Scope, service: Service) => {
  const known = new Map(serviceClusters(scope, service).map((cluster) => [cluster.name ?? "", cluster]));
  const subsets = scope.model.rules().destinationPolicy(service, scope.proxy)?.subsets ?? [];
  return service.ports.flatMap(({ number, protocol }) =>
    ["", ...subsets.map(({ name }) => name)].flatMap((subset) => {
      const base = known.get(outboundCluster(service.hostname, number, subset));
      const name = meshServerName(service.hostname, number, subset);
      return base?.type === "EDS" && protocol !== "udp" ? [{ name, cluster: carried(base, name) }] : [];
    }),
  );
};

/** The cluster's balancing and limits, without TLS of its own. */
const carried = (base: ClusterJson, name: string): ClusterJson => {
  const { transportSocket: _, transportSocketMatches: __, typedExtensionProtocolOptions: ___, ...rest } = base;
  return { ...rest, name, altStatName: `${name};`, edsClusterConfig: { edsConfig: fromAds, serviceName: name } };
};

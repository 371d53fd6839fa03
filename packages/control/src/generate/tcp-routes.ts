/** Where connections that are not read as HTTP go: VirtualService `tcp` and `tls` rules, else the service itself. */

import type { RouteDestination } from "@weft/config/kinds/virtual-service";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { hostMatches, intersectHosts } from "../model/hostname.ts";
import { isTls } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import type { VirtualServiceRule } from "../model/virtual-services.ts";
import { labelsMatch } from "../model/workload-policies.ts";
import { tcpFilters } from "./connection-managers.ts";
import type { EgressView } from "./egress.ts";
import { outboundCluster } from "./names.ts";
import { weighted } from "./route-action.ts";
import { destinationCluster } from "./rule-routes.ts";
import { rulesByHost } from "./rules-by-host.ts";
import type { Scope } from "./scope.ts";
import { byServerName, tcpOptions } from "./tcp-options.ts";

/** A chain before it is Envoy's: which connections it takes, and what is done with them. */
export interface TcpChain {
  readonly serverNames: readonly string[];
  /** Destinations, address or CIDR. */
  readonly cidrs: readonly string[];
  readonly filters: FilterJson[];
}

interface ConnectionMatch {
  readonly port?: number;
  readonly sourceLabels?: Readonly<Record<string, string>>;
  readonly sourceNamespace?: string;
  readonly gateways?: readonly string[];
}

const applies = (match: ConnectionMatch, { proxy }: Scope, port: number): boolean =>
  (match.port === undefined || match.port === port) &&
  (!match.sourceNamespace || match.sourceNamespace === proxy.namespace) &&
  labelsMatch(match.sourceLabels, proxy.labels) &&
  (!match.gateways?.length || match.gateways.includes("mesh"));

/** What carries connections to one cluster, or to several by weight. */
export const carry = (
  scope: Scope,
  clusters: readonly { readonly name: string; readonly weight: number }[],
  statPrefix?: string,
): FilterJson[] =>
  tcpFilters({
    mesh: scope.model.mesh,
    statPrefix: `${statPrefix ?? clusters[0]?.name ?? ""};`,
    clusters,
    direction: scope.proxy.kind === "gateway" ? "gateway" : "outbound",
    native: scope.proxy.native,
    options: tcpOptions(scope, clusters),
    byServerName: byServerName(scope, clusters),
  });

interface RuleAtPort {
  readonly rule: VirtualServiceRule;
  readonly port: number;
}

/** A cluster with its share of the connections. */
export interface WeightedTarget {
  readonly name: string;
  readonly weight: number;
}

/** A rule's destinations, as its VirtualService's namespace reads them. */
const targetsOf = (scope: Scope, route: readonly RouteDestination[], { rule, port }: RuleAtPort): WeightedTarget[] =>
  weighted(route).map(({ destination, weight }) => ({
    name: destinationCluster({ scope, port }, destination, rule.object.namespace),
    weight: weight || 1,
  }));

/** The filters of a rule's destinations. */
export const carryTo = (scope: Scope, route: readonly RouteDestination[], place: RuleAtPort): FilterJson[] => {
  const { namespace, name } = place.rule.object;
  const clusters = targetsOf(scope, route, place);
  return carry(scope, clusters, clusters.length > 1 ? `${name}.${namespace}` : undefined);
};

/**
 * Where a connection goes that names the service instead of an address, as a tunnel does: rules for destinations by
 * address do not count, those for server names count for the service's own.
 */
export const connectionTargets = (
  scope: Scope,
  { service, port, rules }: Pick<TcpTarget, "service" | "port" | "rules">,
): readonly WeightedTarget[] => {
  const hostname = service.hostname.toLowerCase();
  const number = port.number;
  for (const rule of rules) {
    const found = isTls(port.protocol)
      ? rule.tls.find(({ match }) =>
          match.some((one) => applies(one, scope, number) && one.sniHosts.some((name) => hostMatches(name, hostname))),
        )
      : rule.tcp.find(
          ({ match }) =>
            !match?.length || match.some((one) => !one.destinationSubnets?.length && applies(one, scope, number)),
        );
    if (found?.route?.length) return targetsOf(scope, found.route, { rule, port: number });
  }
  return [{ name: outboundCluster(service.hostname, number), weight: 1 }];
};

interface ConnectionRules {
  readonly all: readonly VirtualServiceRule[];
  readonly places: ReadonlyMap<VirtualServiceRule, number>;
  readonly exact: ReadonlyMap<string, readonly VirtualServiceRule[]>;
  readonly wild: readonly VirtualServiceRule[];
}

const connectionRules = new WeakMap<EgressView, ConnectionRules>();

const arrange = (view: EgressView): ConnectionRules => {
  const all = view.rules.filter(({ tls, tcp }) => tls.length + tcp.length > 0);
  const { exact, wild } = rulesByHost(all);
  return { all, places: new Map(all.map((rule, at) => [rule, at])), exact, wild };
};

/** The rules of a view that say anything of connections to a host, in their order. */
export const rulesForConnections = (
  view: EgressView,
  service: Pick<Service, "hostname">,
): readonly VirtualServiceRule[] => {
  const known = connectionRules.get(view) ?? arrange(view);
  connectionRules.set(view, known);
  if (known.all.length === 0) return known.all;
  const hostname = service.hostname.toLowerCase();
  const concerns = ({ hosts }: VirtualServiceRule): boolean =>
    hosts.some((host) => intersectHosts(host, hostname) !== undefined);
  if (hostname.startsWith("*")) return known.all.filter(concerns);
  const found = new Set([...(known.exact.get(hostname) ?? []), ...known.wild.filter(concerns)]);
  return [...found].sort((a, b) => (known.places.get(a) ?? 0) - (known.places.get(b) ?? 0));
};

export interface TcpTarget {
  readonly service: Service;
  readonly port: ServicePort;
  /** The service's own destinations, where the listener does not tell it by its address. */
  readonly cidrs: readonly string[];
  /** The listener has no address that is the service's alone. */
  readonly shared: boolean;
  /** Those for the service's host. */
  readonly rules: readonly VirtualServiceRule[];
}

/** Chains for connections to one port of a service. The one that takes all others is the last. */
export const tcpChains = (scope: Scope, target: TcpTarget): readonly TcpChain[] =>
  isTls(target.port.protocol) ? tlsChains(scope, target) : plainChains(scope, target);

const ownFilters = (scope: Scope, { service, port }: TcpTarget): FilterJson[] => {
  const [only, more] = service.ports;
  const number = only && !more ? only.number : port.number;
  return carry(scope, [{ name: outboundCluster(service.hostname, number), weight: 1 }]);
};

/** Rules by server name. Equal conditions after those decided here could never be reached. */
const tlsChains = (scope: Scope, target: TcpTarget): readonly TcpChain[] => {
  const port = target.port.number;
  const chains: TcpChain[] = [];
  const seen = new Set<string>();
  for (const rule of target.rules) {
    for (const { match, route } of rule.tls) {
      if (!route?.length) continue;
      for (const one of match) {
        const key = JSON.stringify([one.sniHosts, one.destinationSubnets ?? []]);
        if (!applies(one, scope, port) || seen.has(key)) continue;
        seen.add(key);
        const cidrs = one.destinationSubnets?.length ? one.destinationSubnets : target.cidrs;
        chains.push({ serverNames: one.sniHosts, cidrs, filters: carryTo(scope, route, { rule, port }) });
      }
    }
  }
  if (chains.length > 0) return chains;
  const serverNames = target.shared || target.cidrs.length > 0 ? [target.service.hostname] : [];
  return [{ serverNames, cidrs: target.cidrs, filters: ownFilters(scope, target) }];
};

/** Rules by destination, until one takes them all. */
const plainChains = (scope: Scope, target: TcpTarget): readonly TcpChain[] => {
  const port = target.port.number;
  const chains: TcpChain[] = [];
  for (const rule of target.rules) {
    for (const { match, route } of rule.tcp) {
      if (!route?.length) continue;
      const holding = match?.length ? match.filter((one) => applies(one, scope, port)) : [{}];
      if (holding.length === 0) continue;
      const filters = carryTo(scope, route, { rule, port });
      const subnets = holding.map((one) => ("destinationSubnets" in one ? (one.destinationSubnets ?? []) : []));
      if (subnets.some(({ length }) => length === 0)) {
        return [...chains, { serverNames: [], cidrs: target.cidrs, filters }];
      }
      chains.push({ serverNames: [], cidrs: [...new Set(subnets.flat())], filters });
    }
  }
  return [...chains, { serverNames: [], cidrs: target.cidrs, filters: ownFilters(scope, target) }];
};

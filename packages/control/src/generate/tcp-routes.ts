/** Where connections that are not read as HTTP go: VirtualService `tcp` and `tls` rules, else the service itself. */
import type { RouteDestination } from "@weft/config/kinds/virtual-service";
import { isTls } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { labelsMatch } from "../model/workload-policies.ts";
import { outboundCluster } from "./names.ts";
import { weighted } from "./route-action.ts";
import { destinationCluster } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";

export interface WeightedTarget {
  readonly name: string;
  readonly weight: number;
}

interface ConnectionMatch {
  readonly port?: number;
  readonly sourceLabels?: Readonly<Record<string, string>>;
  readonly sourceNamespace?: string;
  readonly gateways?: readonly string[];
}

const applies = (match: ConnectionMatch, scope: Scope, port: number): boolean =>
  (match.port === undefined || match.port === port) &&
  (match.sourceNamespace === undefined || match.sourceNamespace === scope.proxy.namespace) &&
  labelsMatch(match.sourceLabels, scope.proxy.labels) &&
  (!match.gateways?.length || match.gateways.includes("mesh"));

const targets = (
  scope: Scope,
  destinations: readonly RouteDestination[],
  { port, namespace }: { readonly port: number; readonly namespace: string },
): WeightedTarget[] =>
  weighted(destinations).map(({ destination, weight }) => ({
    name: destinationCluster({ scope, port }, destination, namespace),
    weight: weight || 1,
  }));

/** The first `tcp` rule for the host whose conditions hold for this client and port. */
export const tcpDestinations = (scope: Scope, service: Service, { number: port }: ServicePort): WeightedTarget[] => {
  const rules = scope.model.rules();
  for (const rule of rules.meshRules(scope.proxy.namespace)) {
    if (!rule.hosts.includes(service.hostname)) continue;
    for (const { match, route } of rule.object.spec.tcp ?? []) {
      const holds = !match?.length || match.some((one) => !one.destinationSubnets?.length && applies(one, scope, port));
      if (holds && route?.length) return targets(scope, route, { port, namespace: rule.object.namespace });
    }
  }
  return [{ name: outboundCluster(service.hostname, port), weight: 1 }];
};

export interface ServerNameTarget {
  readonly serverNames: readonly string[];
  readonly clusters: WeightedTarget[];
}

/** Server names of one port: `tls` rules first, then TLS services by their own name. No name twice. */
export const tlsDestinations = (scope: Scope, port: number): readonly ServerNameTarget[] => {
  const found: ServerNameTarget[] = [];
  const seen = new Set<string>();
  const add = (names: readonly string[], clusters: WeightedTarget[]): void => {
    const serverNames = names.filter((name) => !seen.has(name));
    for (const name of serverNames) seen.add(name);
    if (serverNames.length > 0) found.push({ serverNames, clusters });
  };
  for (const { object } of scope.model.rules().meshRules(scope.proxy.namespace)) {
    for (const { match, route } of object.spec.tls ?? []) {
      for (const one of match) {
        if (!route?.length || !applies(one, scope, port)) continue;
        add(one.sniHosts, targets(scope, route, { port, namespace: object.namespace }));
      }
    }
  }
  for (const service of scope.model.visibleServices(scope.proxy.namespace).values()) {
    const own = service.ports.find(({ number, protocol }) => number === port && isTls(protocol));
    if (own) add([service.hostname], tcpDestinations(scope, service, own));
  }
  return found;
};

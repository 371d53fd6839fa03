/** Which VirtualService's routes each host of a table has. */

import type { RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { hostMatches } from "../model/hostname.ts";
import type { Service } from "../model/service.ts";
import { mostSpecificRule, type VirtualServiceRule } from "../model/virtual-services.ts";
import type { EgressView } from "./egress.ts";
import { policyInputs } from "./kept-parts.ts";
import { noteAt } from "./resource-set.ts";
import { defaultRoutes, isRouted, type RouteContext, ruleInputs, rulesRoutes } from "./rule-routes.ts";
import { rulesByHost } from "./rules-by-host.ts";
import type { Scope } from "./scope.ts";

/** A host of rules that is no service of the table. */
export interface BareHost {
  readonly host: string;
  readonly rule: VirtualServiceRule;
  /** Ports of services the same rule is for. */
  readonly ports: ReadonlySet<number>;
}

/** The rules of one view of the mesh, arranged for lookup by host. */
export interface RuleTable {
  /** Routes to one port of a service: its rule's, or the default. */
  routes(context: RouteContext, service: Service, port: number): readonly RouteJson[];
  /** What those depend on, beside the client, the mesh and the service itself. */
  inputs(scope: Scope, service: Service): readonly unknown[];
  readonly bare: readonly BareHost[];
}

export const ruleTable = (view: EgressView): RuleTable => {
  const known = tables.get(view) ?? arrange(view);
  tables.set(view, known);
  return known;
};

const tables = new WeakMap<EgressView, RuleTable>();

const arrange = ({ services, rules }: EgressView): RuleTable => {
  const withRoutes = rules.filter(({ http }) => http.length > 0);
  const { exact, wild } = rulesByHost(rules);

  const candidates = (hostname: string): readonly VirtualServiceRule[] => {
    if (rules.length === 0) return rules;
    const named = exact.get(hostname.toLowerCase());
    if (named) return named;
    const best = mostSpecificRule(wild, hostname);
    return best ? [best.rule] : [];
  };

  return {
    routes(context, service, port) {
      const [held, ...others] = candidates(service.hostname).flatMap((rule) => {
        const routes = rulesRoutes({ ...context, port, gateway: "mesh", secure: false }, rule);
        return routes.length > 0 ? [{ rule, routes }] : [];
      });
      for (const { rule } of others) noteShadowed(context, held?.rule, { rule, host: service.hostname });
      return held?.routes ?? defaultRoutes(context.scope, service, port);
    },
    inputs(scope, service) {
      const policy = policyInputs(scope, service, scope.proxy);
      const holding = candidates(service.hostname);
      return holding.length === 0 ? policy : [...policy, ...holding.flatMap((rule) => ruleInputs(scope, rule))];
    },
    bare: bareHosts(withRoutes, services),
  };
};

/** Hosts of a mesh have one VirtualService; what a later one says of the host has no effect. */
export const noteShadowed = (
  { notes }: RouteContext,
  holder: VirtualServiceRule | undefined,
  { rule, host }: { readonly rule: VirtualServiceRule; readonly host: string },
): void => {
  if (!holder || holder === rule) return;
  const { namespace, name } = holder.object;
  const message = `host ${host} has its routes from VirtualService ${namespace}/${name}: those given here are not used`;
  notes.push(noteAt("WF1532", message, { object: rule.object, path: ["spec", "hosts"] }));
};

const bareHosts = (
  rules: readonly VirtualServiceRule[],
  services: ReadonlyMap<string, Service>,
): readonly BareHost[] => {
  if (rules.length === 0) return [];
  const known = new Map([...services].map(([name, service]) => [name.toLowerCase(), service]));
  const all = [...services.values()];
  return rules.flatMap((rule) => {
    const matching = (host: string): readonly Service[] =>
      host.startsWith("*") ? all.filter(({ hostname }) => hostMatches(host, hostname)) : [];
    const bare: string[] = [];
    const ports = new Set<number>();
    for (const host of rule.hosts) {
      const named = known.get(host);
      const found = named ? [named] : matching(host);
      if (found.length === 0) bare.push(host);
      for (const service of found) for (const port of service.ports) if (isRouted(port)) ports.add(port.number);
    }
    return bare.map((host) => ({ host, rule, ports }));
  });
};

/** Routes to one port of a service, as the first view that has the service gives them. */
export const serviceRoutes = (context: RouteContext, service: Service, port: number): readonly RouteJson[] => {
  const { views } = context.scope.egress;
  const view = views.find(({ services }) => services.has(service.hostname)) ?? views[0];
  return view ? ruleTable(view).routes(context, service, port) : defaultRoutes(context.scope, service, port);
};

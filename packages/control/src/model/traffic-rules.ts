/** VirtualServices, DestinationRules and Gateways as the model looks them up: by host, by visibility, oldest first. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import type {
  DestinationRuleSpec,
  PortTrafficPolicy,
  Subset,
  TrafficPolicy,
} from "@weft/config/kinds/destination-rule";
import type { Collection } from "@weft/core/collection";
import { byKind, type ConfigItem, ofKind } from "./config-item.ts";
import { compareSpecificity, hostMatches, resolveHost, visibleIn } from "./hostname.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import type { Service } from "./service.ts";
import { labelsMatch } from "./workload-policies.ts";

/** A VirtualService with its hosts and gateways in full. */
export interface VirtualServiceRule {
  readonly object: ConfigOf<"VirtualService">;
  readonly hosts: readonly string[];
  /** `mesh` or `NAMESPACE/NAME`. */
  readonly gateways: readonly string[];
}

/** What the DestinationRules for a host come to, for clients of one namespace. */
export interface DestinationPolicy {
  /** Names the rules it comes from: the same id and the same rule objects are the same policy. */
  readonly id: string;
  readonly trafficPolicy: TrafficPolicy | undefined;
  readonly subsets: readonly Subset[];
  /** The rules it comes from; the first gives the policy. */
  readonly rules: readonly ConfigOf<"DestinationRule">[];
}

export interface TrafficRules {
  /** Rules for the mesh gateway visible to clients of the namespace, oldest first. */
  meshRules(namespace: string): readonly VirtualServiceRule[];
  /** Rules bound to a gateway, `NAMESPACE/NAME`, oldest first. */
  gatewayRules(gateway: string): readonly VirtualServiceRule[];
  /** The rule of those given that holds for a host: the most specific, then the oldest. */
  ruleFor(rules: readonly VirtualServiceRule[], host: string): VirtualServiceRule | undefined;
  destinationPolicy(
    service: Pick<Service, "hostname" | "namespace">,
    client: DestinationClient,
  ): DestinationPolicy | undefined;
  /** Labels of clients that rules read: in `sourceLabels`, `workloadSelector` and `failoverPriority`. */
  readonly clientLabels: ReadonlySet<string>;
  /** Whether any rule makes the client's place matter. */
  readonly readsLocality: boolean;
  /** Gateways that select a proxy with these labels, oldest first. */
  gatewaysFor(labels: Readonly<Record<string, string>>): readonly ConfigOf<"Gateway">[];
}

export interface DestinationClient {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Lookups over one state of the configuration; made anew when it changes. */
export const trafficRules = (config: Collection<ConfigItem>, mesh: MeshSettings): TrafficRules => {
  const kinds = byKind(config);
  const virtualServices = ofKind(kinds.lookup("VirtualService"), "VirtualService")
    .toSorted(compareAge)
    .map((object) => virtualServiceRule(object, mesh));
  const destinationObjects = ofKind(kinds.lookup("DestinationRule"), "DestinationRule");
  const destinationRules = destinationTable(destinationObjects, mesh);
  const gateways = ofKind(kinds.lookup("Gateway"), "Gateway").toSorted(compareAge);
  const perNamespace = new Map<string, readonly VirtualServiceRule[]>();

  return {
    meshRules(namespace) {
      let rules = perNamespace.get(namespace);
      if (!rules) {
        rules = virtualServices.filter(
          ({ object, gateways: at }) =>
            at.includes("mesh") && visibleIn(object.spec.exportTo, object.namespace, namespace),
        );
        perNamespace.set(namespace, rules);
      }
      return rules;
    },
    gatewayRules: (gateway) => virtualServices.filter((rule) => rule.gateways.includes(gateway)),
    ruleFor: mostSpecificRule,
    destinationPolicy: destinationRules,
    clientLabels: labelsRead(virtualServices, destinationObjects),
    readsLocality: destinationObjects.some(({ spec }) =>
      policiesOf(spec).some((policy) => policy.outlierDetection || policy.loadBalancer?.localityLbSetting),
    ),
    gatewaysFor: (labels) => gateways.filter(({ spec }) => labelsMatch(spec.selector, labels)),
  };
};

/** Every policy a DestinationRule holds: the rule's, its ports', its subsets' and theirs. */
const policiesOf = ({ trafficPolicy, subsets }: DestinationRuleSpec): readonly PortTrafficPolicy[] =>
  [trafficPolicy, ...(subsets ?? []).map((subset) => subset.trafficPolicy)].flatMap((policy) =>
    policy ? [policy, ...(policy.portLevelSettings ?? [])] : [],
  );

const labelsRead = (
  virtualServices: readonly VirtualServiceRule[],
  destinationRules: readonly ConfigOf<"DestinationRule">[],
): ReadonlySet<string> => {
  const found = new Set<string>();
  for (const { object } of virtualServices) {
    const { http, tls, tcp } = object.spec;
    for (const { match } of [...(http ?? []), ...(tls ?? []), ...(tcp ?? [])]) {
      for (const one of match ?? []) for (const name of Object.keys(one.sourceLabels ?? {})) found.add(name);
    }
  }
  for (const { spec } of destinationRules) {
    for (const name of Object.keys(spec.workloadSelector?.matchLabels ?? {})) found.add(name);
    for (const { loadBalancer } of policiesOf(spec)) {
      for (const entry of loadBalancer?.localityLbSetting?.failoverPriority ?? []) found.add(entry.split("=")[0] ?? "");
    }
  }
  return found;
};

const virtualServiceRule = (object: ConfigOf<"VirtualService">, mesh: MeshSettings): VirtualServiceRule => ({
  object,
  hosts: (object.spec.hosts ?? []).map((host) => resolveHost(host, object.namespace, mesh.domain)),
  gateways: (object.spec.gateways?.length ? object.spec.gateways : ["mesh"]).map((name) =>
    name === "mesh" || name.includes("/") ? name : `${object.namespace}/${name}`,
  ),
});

const mostSpecificRule = (rules: readonly VirtualServiceRule[], host: string): VirtualServiceRule | undefined => {
  let best: { readonly rule: VirtualServiceRule; readonly host: string } | undefined;
  for (const rule of rules) {
    for (const pattern of rule.hosts) {
      if (!hostMatches(pattern, host)) continue;
      if (!best || compareSpecificity(pattern, best.host) < 0) best = { rule, host: pattern };
    }
  }
  return best?.rule;
};

interface ResolvedRule {
  readonly host: string;
  readonly object: ConfigOf<"DestinationRule">;
}

const destinationTable = (
  objects: readonly ConfigOf<"DestinationRule">[],
  mesh: MeshSettings,
): TrafficRules["destinationPolicy"] => {
  const byNamespace = Map.groupBy(
    objects.toSorted(compareAge).map(
      (object): ResolvedRule => ({
        object,
        host: resolveHost(object.spec.host, object.namespace, mesh.domain),
      }),
    ),
    ({ object }) => object.namespace,
  );
  const known = new Map<string, DestinationPolicy>();

  const at = (level: string, hostname: string, client: DestinationClient): readonly ResolvedRule[] => {
    const rules = (byNamespace.get(level) ?? []).filter(
      ({ host, object: { spec, namespace } }) =>
        hostMatches(host, hostname) &&
        visibleIn(spec.exportTo, namespace, client.namespace) &&
        (!spec.workloadSelector?.matchLabels ||
          (namespace === client.namespace && labelsMatch(spec.workloadSelector.matchLabels, client.labels))),
    );
    const [best] = rules.map(({ host }) => host).sort(compareSpecificity);
    return rules
      .filter(({ host }) => host === best)
      .sort((a, b) => Number(!a.object.spec.workloadSelector) - Number(!b.object.spec.workloadSelector));
  };

  return ({ hostname, namespace }, client) => {
    for (const level of new Set([client.namespace, namespace, mesh.rootNamespace])) {
      const rules = at(level, hostname, client);
      if (rules.length === 0) continue;
      const id = rules.map(({ object }) => `${object.namespace}/${object.name}`).join();
      let policy = known.get(id);
      if (!policy) {
        policy = mergeRules(
          id,
          rules.map(({ object }) => object),
        );
        known.set(id, policy);
      }
      return policy;
    }
    return undefined;
  };
};

/** Rules for the same host in one namespace: the first policy holds, subsets add up, the first of a name holds. */
const mergeRules = (id: string, rules: readonly ConfigOf<"DestinationRule">[]): DestinationPolicy => {
  const subsets = new Map<string, Subset>();
  for (const { spec } of rules)
    for (const subset of spec.subsets ?? []) if (!subsets.has(subset.name)) subsets.set(subset.name, subset);
  return {
    id,
    trafficPolicy: rules.find(({ spec }) => spec.trafficPolicy)?.spec.trafficPolicy,
    subsets: [...subsets.values()],
    rules,
  };
};

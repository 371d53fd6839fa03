/** DestinationRules as clients and servers look them up: by namespace, by the most specific host, by selector. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import type { Subset, TrafficPolicy } from "@weft/config/kinds/destination-rule";
import { compareSpecificity, hostMatches, resolveHost, visibleIn } from "./hostname.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import type { Service } from "./service.ts";
import { labelsMatch } from "./workload-policies.ts";

type DestinationRule = ConfigOf<"DestinationRule">;

/** What the DestinationRules for a host come to, for clients of one namespace. */
export interface DestinationPolicy {
  /** Names the rules it comes from: the same id and the same rule objects are the same policy. */
  readonly id: string;
  readonly trafficPolicy: TrafficPolicy | undefined;
  readonly subsets: readonly Subset[];
  /** The rules it comes from; the first gives the policy. */
  readonly rules: readonly DestinationRule[];
  /** Holds for chosen workloads only, so it may name secrets that only those can read. */
  readonly selective: boolean;
}

export interface DestinationClient {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * The policy for calls of `client` to `service`; for the server's own side, `inbound`, rules with a selector do not count.
 */
export type FindDestinationPolicy = (
  service: Pick<Service, "hostname" | "namespace">,
  client: DestinationClient,
  direction?: "outbound" | "inbound",
) => DestinationPolicy | undefined;

interface ResolvedRule {
  readonly host: string;
  readonly object: DestinationRule;
  readonly exportTo: readonly string[];
}

const selectorOf = ({ object }: ResolvedRule) => object.spec.workloadSelector?.matchLabels;

/** A rule with a selector is its own namespace's. */
const exportsOf = ({ spec }: DestinationRule, mesh: MeshSettings): readonly string[] => {
  if (spec.workloadSelector?.matchLabels) return ["."];
  return spec.exportTo?.length ? spec.exportTo : mesh.defaultDestinationRuleExportTo;
};

/**
 * Istio's order: the client's namespace, the service's, the root namespace; the first that has a rule for the host ends
 * the search, its most specific host counts, and levels are not put together. A client of the root namespace takes only
 * what is private there at first, since the rest is meant for everybody.
 */
export const findDestinationPolicies = (
  objects: readonly DestinationRule[],
  mesh: MeshSettings,
): FindDestinationPolicy => {
  const resolved = objects.toSorted(compareAge).map(
    (object): ResolvedRule => ({
      object,
      host: resolveHost(object.spec.host, object.namespace, mesh.domain),
      exportTo: exportsOf(object, mesh),
    }),
  );
  const namespaces = new Map(
    [...Map.groupBy(resolved, ({ object }) => object.namespace)].map(([name, rules]) => [name, indexHosts(rules)]),
  );
  const known = new Map<string, DestinationPolicy>();

  /** Rules of the client's own namespace; in the root namespace only those that are private there. */
  const own = (hostname: string, client: string): readonly ResolvedRule[] =>
    mostSpecific(namespaces.get(client), hostname, (rule) =>
      client === mesh.rootNamespace ? isPrivate(rule) : visibleIn(rule.exportTo, client, client),
    );
  /** Rules of another namespace: the most specific host counts even if its rule is exported to others only. */
  const exported = (namespace: string, hostname: string, client: string): readonly ResolvedRule[] =>
    mostSpecific(namespaces.get(namespace), hostname, (rule) => !isPrivate(rule)).filter((rule) =>
      visibleIn(rule.exportTo, namespace, client),
    );

  return ({ hostname, namespace }, client, direction = "outbound") => {
    if (namespaces.size === 0) return undefined;
    const levels = [
      own(hostname, client.namespace),
      exported(namespace, hostname, client.namespace),
      exported(mesh.rootNamespace, hostname, client.namespace),
    ];
    const rules = levels.find(({ length }) => length > 0);
    const held = rules && heldBy(rules, client, direction);
    if (!held?.length) return undefined;
    const id = held.map(({ object }) => `${object.namespace}/${object.name}`).join();
    const policy = known.get(id) ?? mergeRules(id, held);
    known.set(id, policy);
    return policy;
  };
};

const isPrivate = ({ exportTo, object }: ResolvedRule): boolean =>
  exportTo.length === 1 && (exportTo[0] === "." || exportTo[0] === object.namespace);

interface HostIndex {
  readonly exact: ReadonlyMap<string, readonly ResolvedRule[]>;
  /** The most specific first. */
  readonly wild: readonly ResolvedRule[];
}

const indexHosts = (rules: readonly ResolvedRule[]): HostIndex => ({
  exact: Map.groupBy(
    rules.filter(({ host }) => !host.startsWith("*")),
    ({ host }) => host,
  ),
  wild: rules.filter(({ host }) => host.startsWith("*")).toSorted((a, b) => compareSpecificity(a.host, b.host)),
});

/** The rules of the narrowest host that covers `hostname`, among those that count; a wildcard service has its own name. */
const mostSpecific = (
  index: HostIndex | undefined,
  hostname: string,
  counts: (rule: ResolvedRule) => boolean,
): readonly ResolvedRule[] => {
  const exact = index?.exact.get(hostname)?.filter(counts) ?? [];
  if (exact.length > 0) return exact;
  const wild = (index?.wild ?? []).filter((rule) => hostMatches(rule.host, hostname) && counts(rule));
  return wild.filter(({ host }) => host === wild[0]?.host);
};

/**
 * Of the rules for one host, those that make this client's policy: the oldest whose selector picks it with those of the
 * same selector, else those without a selector.
 */
const heldBy = (
  rules: readonly ResolvedRule[],
  client: DestinationClient,
  direction: "outbound" | "inbound",
): readonly ResolvedRule[] => {
  const selective = rules.find((rule) => {
    const selector = selectorOf(rule);
    return direction === "outbound" && rule.object.namespace === client.namespace && selector
      ? labelsMatch(selector, client.labels)
      : false;
  });
  if (selective) {
    const wanted = JSON.stringify(Object.entries(selectorOf(selective) ?? {}).sort());
    return rules.filter((rule) => {
      const selector = selectorOf(rule);
      return selector !== undefined && JSON.stringify(Object.entries(selector).sort()) === wanted;
    });
  }
  return rules.filter((rule) => selectorOf(rule) === undefined);
};

/** Rules for the same host in one namespace: the first policy holds, subsets add up, the first of a name holds. */
const mergeRules = (id: string, rules: readonly ResolvedRule[]): DestinationPolicy => {
  const subsets = new Map<string, Subset>();
  for (const { object } of rules) {
    for (const subset of object.spec.subsets ?? []) if (!subsets.has(subset.name)) subsets.set(subset.name, subset);
  }
  return {
    id,
    trafficPolicy: rules.find(({ object }) => object.spec.trafficPolicy)?.object.spec.trafficPolicy,
    subsets: [...subsets.values()],
    rules: rules.map(({ object }) => object),
    selective: rules.some((rule) => selectorOf(rule) !== undefined),
  };
};

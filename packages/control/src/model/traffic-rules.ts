/** VirtualServices, DestinationRules and Gateways as the model looks them up: by host, by visibility, oldest first. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import type { DestinationRuleSpec, PortTrafficPolicy } from "@weft/config/kinds/destination-rule";
import type { Collection } from "@weft/core/collection";
import { byKind, type ConfigItem, ofKind } from "./config-item.ts";
import { type FindDestinationPolicy, findDestinationPolicies } from "./destination-rules.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { type SidecarChoice, sidecarChoices, type Workload } from "./sidecars.ts";
import { type VirtualServices, virtualServices } from "./virtual-services.ts";
import { labelsMatch } from "./workload-policies.ts";

export interface TrafficRules extends VirtualServices {
  readonly destinationPolicy: FindDestinationPolicy;
  /** Labels of clients that rules read: in `sourceLabels`, `workloadSelector` and `failoverPriority`. */
  readonly clientLabels: ReadonlySet<string>;
  /** Whether any rule makes the client's place matter. */
  readonly readsLocality: boolean;
  /** Gateways that select a proxy with these labels, oldest first. */
  gatewaysFor(labels: Readonly<Record<string, string>>): readonly ConfigOf<"Gateway">[];
  /** The Sidecar that holds for a workload. */
  sidecarFor(workload: Workload): SidecarChoice | undefined;
}

/** Lookups over one state of the configuration; made anew when it changes. */
export const trafficRules = (config: Collection<ConfigItem>, mesh: MeshSettings): TrafficRules => {
  const kinds = byKind(config);
  const virtualObjects = ofKind(kinds.lookup("VirtualService"), "VirtualService");
  const destinationObjects = ofKind(kinds.lookup("DestinationRule"), "DestinationRule");
  const destinationRules = findDestinationPolicies(destinationObjects, mesh);
  const gateways = ofKind(kinds.lookup("Gateway"), "Gateway").toSorted(compareAge);

  return {
    ...virtualServices(virtualObjects, mesh),
    destinationPolicy: destinationRules,
    clientLabels: labelsRead(
      virtualObjects,
      destinationObjects,
      ofKind(kinds.lookup("LocalRateLimit"), "LocalRateLimit"),
      mesh,
    ),
    readsLocality:
      readsLocality(mesh) ||
      destinationObjects.some(({ spec }) =>
        policiesOf(spec).some(
          ({ outlierDetection, loadBalancer }) => outlierDetection || loadBalancer?.localityLbSetting,
        ),
      ),
    gatewaysFor: (labels) => gateways.filter(({ spec }) => labelsMatch(spec.selector, labels)),
    sidecarFor: sidecarChoices(ofKind(kinds.lookup("Sidecar"), "Sidecar"), mesh),
  };
};

/** The mesh's own settings alone make the client's place matter. */
const readsLocality = ({ defaultTrafficPolicy, localityLbSetting }: MeshSettings): boolean =>
  defaultTrafficPolicy.outlierDetection !== undefined || (localityLbSetting.distribute?.length ?? 0) > 0;

/** Every policy a DestinationRule holds: the rule's, its ports', its subsets' and theirs. */
const policiesOf = ({ trafficPolicy, subsets }: DestinationRuleSpec): readonly PortTrafficPolicy[] =>
  [trafficPolicy, ...(subsets ?? []).map((subset) => subset.trafficPolicy)].flatMap((policy) =>
    policy ? [policy, ...(policy.portLevelSettings ?? [])] : [],
  );

const addLabels = (priority: readonly string[] | undefined, found: Set<string>): void => {
  for (const entry of priority ?? []) found.add(entry.split("=")[0] ?? "");
};

const labelsRead = (
  virtualServices: readonly ConfigOf<"VirtualService">[],
  destinationRules: readonly ConfigOf<"DestinationRule">[],
  rateLimits: readonly ConfigOf<"LocalRateLimit">[],
  mesh: MeshSettings,
): ReadonlySet<string> => {
  const found = new Set<string>();
  for (const { spec } of rateLimits) {
    if (spec.side !== "outbound") continue;
    for (const name of Object.keys(spec.selector?.matchLabels ?? {})) found.add(name);
  }
  addLabels(mesh.localityLbSetting.failoverPriority, found);
  addLabels(mesh.zoneAwareLbSetting?.failoverPriority, found);
  for (const { spec } of virtualServices) {
    const { http, tls, tcp } = spec;
    for (const { match } of [...(http ?? []), ...(tls ?? []), ...(tcp ?? [])]) {
      for (const one of match ?? []) for (const name of Object.keys(one.sourceLabels ?? {})) found.add(name);
    }
  }
  for (const { spec } of destinationRules) {
    for (const name of Object.keys(spec.workloadSelector?.matchLabels ?? {})) found.add(name);
    for (const { loadBalancer } of policiesOf(spec)) {
      const { localityLbSetting, zoneAwareLbSetting } = loadBalancer ?? {};
      addLabels(localityLbSetting?.failoverPriority, found);
      addLabels(zoneAwareLbSetting?.failoverPriority, found);
    }
  }
  return found;
};

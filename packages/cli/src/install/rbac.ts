/** What the control plane may do in a cluster: each grant with the part that uses it. */

import { definedKinds } from "@weft/config/crds/crds";
import { watchedKinds } from "@weft/control/registries/kubernetes/watched-kinds";
import type { Fill } from "./fill.ts";

export interface Grant {
  /** The part of weft that does this, and why. */
  readonly use: string;
  /** In the whole cluster, or in the control plane's namespace. */
  readonly scope: "cluster" | "namespace";
  readonly group: string;
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly names?: readonly string[];
}

const groupsOf = (
  items: readonly { readonly group: string; readonly plural: string }[],
): ReadonlyMap<string, readonly string[]> => {
  const groups = new Map<string, string[]>();
  for (const { group, plural } of items) groups.set(group, [...(groups.get(group) ?? []), plural]);
  return groups;
};

/** The reflectors list and watch; they never ask for one object. */
const reading = (): readonly Grant[] =>
  [...groupsOf(watchedKinds)].map(([group, resources]) => ({
    use: "registries/kubernetes: services, endpoints, workloads, namespaces and configuration",
    scope: "cluster",
    group,
    resources,
    verbs: ["list", "watch"],
  }));

/** Nothing but their status is ever written to objects of users. */
const status = (): readonly Grant[] =>
  [...groupsOf(definedKinds.filter(({ inert }) => inert === undefined))].map(([group, resources]) => ({
    use: "status: what became of each object is written to its status",
    scope: "cluster",
    group,
    resources: resources.map((resource) => `${resource}/status`),
    verbs: ["patch"],
  }));

const fixed = ({ suffix, text }: Fill): readonly Grant[] => [
  {
    use: "registries/kubernetes: kinds are read from when they are defined",
    ...{
      scope: "cluster",
      group: "apiextensions.k8s.io",
      resources: ["customresourcedefinitions"],
      verbs: ["list", "watch"],
    },
  },
  {
    use: "registries/kubernetes: keys of gateways, in the namespaces those are in, which nobody knows before",
    ...{ scope: "cluster", group: "", resources: ["secrets"], verbs: ["list", "watch"] },
  },
  {
    use: "registries/kubernetes: the mesh's settings",
    ...{
      scope: "namespace",
      group: "",
      resources: ["configmaps"],
      verbs: ["list", "watch"],
      names: [`istio${suffix}`],
    },
  },
  {
    use: "admission: the root certificate in every namespace; a name cannot narrow create",
    ...{ scope: "cluster", group: "", resources: ["configmaps"], verbs: ["create"] },
  },
  {
    use: "admission: the root certificate in every namespace, when it changes",
    ...{
      scope: "cluster",
      group: "",
      resources: ["configmaps"],
      verbs: ["get", "patch"],
      names: ["istio-ca-root-cert"],
    },
  },
  {
    use: "admission: who signs the webhooks' certificate, and failurePolicy once validation is proved",
    ...{ scope: "cluster", group: "admissionregistration.k8s.io", verbs: ["get", "patch"] },
    resources: ["mutatingwebhookconfigurations"],
    names: [`istio-sidecar-injector${suffix}`],
  },
  {
    use: "admission: the same for the validating webhook",
    ...{ scope: "cluster", group: "admissionregistration.k8s.io", verbs: ["get", "patch"] },
    resources: ["validatingwebhookconfigurations"],
    names: [`istio-validator${suffix}-${text("namespace")}`],
  },
  {
    use: "ca: asks whose a workload's token is",
    ...{ scope: "cluster", group: "authentication.k8s.io", resources: ["tokenreviews"], verbs: ["create"] },
  },
  {
    use: "admission: the injector's values",
    ...{
      scope: "namespace",
      group: "",
      resources: ["configmaps"],
      verbs: ["get"],
      names: [`istio-sidecar-injector${suffix}`],
    },
  },
  {
    use: "leases: the first takes the lease of who writes; a name cannot narrow create",
    ...{ scope: "namespace", group: "coordination.k8s.io", resources: ["leases"], verbs: ["create"] },
  },
  {
    use: "leases: one control plane writes at a time",
    ...{ scope: "namespace", group: "coordination.k8s.io", resources: ["leases"], verbs: ["get", "update"] },
    names: [`weft-writer${suffix}`],
  },
  {
    use: "admission: a wrong Gateway is tried, dry, to prove that validation refuses it",
    ...{ scope: "namespace", group: "networking.istio.io", resources: ["gateways"], verbs: ["create"] },
  },
];

/** Everything granted. */
export const grants = (fill: Fill): readonly Grant[] => [...reading(), ...status(), ...fixed(fill)];

/** A grant as a rule of a Role. */
export const ruleOf = ({ group, resources, verbs, names }: Grant) => ({
  apiGroups: [group],
  resources,
  ...(names ? { resourceNames: names } : {}),
  verbs,
});

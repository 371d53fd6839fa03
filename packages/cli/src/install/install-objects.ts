/** Everything that `weft install` puts into a cluster, in an order in which each finds what it needs. */
import { customResourceDefinitions } from "@weft/config/crds/crds";
import { stringify } from "yaml";
import { controlPlaneObjects, type Manifest, networkPolicy } from "./control-plane-objects.ts";
import type { Fill, ValueName } from "./fill.ts";
import { commonLabels } from "./labels.ts";
import { type Grant, grants, ruleOf } from "./rbac.ts";
import { webhookObjects } from "./webhook-objects.ts";

/** A part of the installation, which is one file of the chart. */
export interface InstallPart {
  readonly file: string;
  readonly objects: readonly Manifest[];
  /** Only where this value is set. */
  readonly condition?: ValueName;
}

export const installParts = (fill: Fill): readonly InstallPart[] => [
  { file: "namespace", objects: [namespace(fill)], condition: "createNamespace" },
  { file: "crds", objects: customResourceDefinitions() },
  { file: "rbac", objects: access(fill) },
  { file: "configmaps", objects: configMaps(fill) },
  { file: "control-plane", objects: controlPlaneObjects(fill) },
  { file: "network-policy", objects: [networkPolicy(fill)], condition: "networkPolicy" },
  { file: "webhooks", objects: webhookObjects(fill) },
];

const namespace = (fill: Fill): Manifest => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name: fill.text("namespace"),
    labels: { "app.kubernetes.io/part-of": "weft", "istio-injection": "disabled" },
  },
});

const access = (fill: Fill): readonly Manifest[] => {
  const name = `istiod${fill.suffix}`;
  const within = { name, namespace: fill.text("namespace"), labels: commonLabels(fill) };
  const everywhere = { name: `istiod${fill.suffix}-${fill.text("namespace")}`, labels: commonLabels(fill) };
  const rules = (scope: Grant["scope"]) =>
    grants(fill)
      .filter((grant) => grant.scope === scope)
      .map(ruleOf);
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const apiGroup = "rbac.authorization.k8s.io";
  const subjects = [{ kind: "ServiceAccount", name, namespace: fill.text("namespace") }];
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: within },
    { apiVersion, kind: "ClusterRole", metadata: everywhere, rules: rules("cluster") },
    {
      ...{ apiVersion, kind: "ClusterRoleBinding", metadata: everywhere, subjects },
      roleRef: { apiGroup, kind: "ClusterRole", name: everywhere.name },
    },
    { apiVersion, kind: "Role", metadata: within, rules: rules("namespace") },
    { apiVersion, kind: "RoleBinding", metadata: within, subjects, roleRef: { apiGroup, kind: "Role", name } },
  ];
};

/** The injector's values as Istio writes them. The mesh's settings are the user's: what is not there is as by default. */
const configMaps = (fill: Fill): readonly Manifest[] => {
  const metadata = (name: string) => ({
    name: `${name}${fill.suffix}`,
    namespace: fill.text("namespace"),
    labels: commonLabels(fill),
  });
  const values = {
    global: {
      istioNamespace: fill.text("namespace"),
      meshID: fill.text("meshId"),
      trustDomain: fill.text("trustDomain"),
      multiCluster: { clusterName: fill.text("clusterId") },
      imagePullPolicy: fill.text("imagePullPolicy"),
      proxy: {
        image: fill.text("image"),
        holdApplicationUntilProxyStarts: fill.plain("holdApplicationUntilProxyStarts"),
        resources: {
          requests: { cpu: fill.text("proxyCpuRequest"), memory: fill.text("proxyMemoryRequest") },
          limits: { cpu: fill.text("proxyCpuLimit"), memory: fill.text("proxyMemoryLimit") },
        },
      },
    },
    sidecarInjectorWebhook: { nativeSidecars: fill.text("nativeSidecars") },
  };
  const core = { apiVersion: "v1", kind: "ConfigMap" };
  return [{ ...core, metadata: metadata("istio-sidecar-injector"), data: { values: stringify(values) } }];
};

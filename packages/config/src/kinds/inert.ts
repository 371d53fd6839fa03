/**
 * Kinds that are recognised and accepted so that whole directories can be taken as they are, but on which
 * nothing in the mesh acts. Each says why.
 */
import { object } from "../schema/schema.ts";
import { defineKind, type Kind } from "./kind.ts";

const notYet = "weft does not act on it yet";
const platform = "it describes a Kubernetes cluster; weft reads workloads and services from its registries";
const monitoring = "it configures Prometheus, which scrapes weft's own /metrics";
const audit = "it tells a Kubernetes API server what to log; weft notes its own changes";
const cluster = "access to a Kubernetes API is not weft's to give";

/** NAME, plural, group, versions, why. */
const table = [
  ["WasmPlugin", "wasmplugins", "extensions.istio.io", "v1alpha1", notYet],
  ["IstioOperator", "istiooperators", "install.istio.io", "v1alpha1", notYet],
  ["HTTPRoute", "httproutes", "gateway.networking.k8s.io", "v1 v1beta1", notYet],
  ["GRPCRoute", "grpcroutes", "gateway.networking.k8s.io", "v1", notYet],
  ["GatewayClass", "gatewayclasses", "gateway.networking.k8s.io", "v1 v1beta1", notYet],
  ["ReferenceGrant", "referencegrants", "gateway.networking.k8s.io", "v1 v1beta1", notYet],
  ["Ingress", "ingresses", "networking.k8s.io", "v1", notYet],
  ["NetworkPolicy", "networkpolicies", "networking.k8s.io", "v1", platform],
  ["IngressClass", "ingressclasses", "networking.k8s.io", "v1", platform],
  ["Deployment", "deployments", "apps", "v1", platform],
  ["StatefulSet", "statefulsets", "apps", "v1", platform],
  ["DaemonSet", "daemonsets", "apps", "v1", platform],
  ["ReplicaSet", "replicasets", "apps", "v1", platform],
  ["Job", "jobs", "batch", "v1", platform],
  ["CronJob", "cronjobs", "batch", "v1", platform],
  ["Pod", "pods", "", "v1", platform],
  ["Namespace", "namespaces", "", "v1", platform],
  ["Node", "nodes", "", "v1", platform],
  ["ConfigMap", "configmaps", "", "v1", platform],
  ["ServiceAccount", "serviceaccounts", "", "v1", platform],
  ["PersistentVolume", "persistentvolumes", "", "v1", platform],
  ["PersistentVolumeClaim", "persistentvolumeclaims", "", "v1", platform],
  ["ReplicationController", "replicationcontrollers", "", "v1", platform],
  ["LimitRange", "limitranges", "", "v1", platform],
  ["ResourceQuota", "resourcequotas", "", "v1", platform],
  ["Event", "events", "", "v1", platform],
  ["HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2 v1", platform],
  ["PodDisruptionBudget", "poddisruptionbudgets", "policy", "v1", platform],
  ["CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", "v1", platform],
  ["Role", "roles", "rbac.authorization.k8s.io", "v1", cluster],
  ["RoleBinding", "rolebindings", "rbac.authorization.k8s.io", "v1", cluster],
  ["ClusterRole", "clusterroles", "rbac.authorization.k8s.io", "v1", cluster],
  ["ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io", "v1", cluster],
  ["ServiceMonitor", "servicemonitors", "monitoring.coreos.com", "v1", monitoring],
  ["PodMonitor", "podmonitors", "monitoring.coreos.com", "v1", monitoring],
  ["PrometheusRule", "prometheusrules", "monitoring.coreos.com", "v1", monitoring],
  ["Policy", "policies", "audit.k8s.io", "v1 v1beta1", audit],
] as const;

export type InertKind = (typeof table)[number][0];
/** Everything of the object but `apiVersion`, `kind`, `metadata` and `status`, unchecked. */
export type InertSpec = Readonly<Record<string, unknown>>;

const clusterScoped: ReadonlySet<string> = new Set([
  "Namespace",
  "Node",
  "PersistentVolume",
  "GatewayClass",
  "IngressClass",
  "CustomResourceDefinition",
  "ClusterRole",
  "ClusterRoleBinding",
]);

export const inertKinds: readonly Kind[] = table.map(([name, plural, group, versions, why]) =>
  defineKind({
    name,
    plural,
    group,
    versions: versions.split(" "),
    about: `Recognised; ${why}.`,
    inert: why,
    bodyIsRoot: true,
    clusterScoped: clusterScoped.has(name),
    schema: object("Kept as it is.", {}, { open: true }),
  }),
);

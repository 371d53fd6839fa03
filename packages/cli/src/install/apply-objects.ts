/** Puts manifests into a cluster by server-side apply: again is harmless, and what others set stays theirs. */
import { WeftError } from "@weft/core/error";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import type { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import type { Manifest } from "./control-plane-objects.ts";

/** What `weft install` makes: where the API has each kind. */
const places: ReadonlyMap<string, { readonly plural: string; readonly cluster?: true }> = new Map([
  ["Namespace", { plural: "namespaces", cluster: true }],
  ["CustomResourceDefinition", { plural: "customresourcedefinitions", cluster: true }],
  ["ServiceAccount", { plural: "serviceaccounts" }],
  ["ConfigMap", { plural: "configmaps" }],
  ["Service", { plural: "services" }],
  ["Deployment", { plural: "deployments" }],
  ["PodDisruptionBudget", { plural: "poddisruptionbudgets" }],
  ["HorizontalPodAutoscaler", { plural: "horizontalpodautoscalers" }],
  ["NetworkPolicy", { plural: "networkpolicies" }],
  ["ClusterRole", { plural: "clusterroles", cluster: true }],
  ["ClusterRoleBinding", { plural: "clusterrolebindings", cluster: true }],
  ["Role", { plural: "roles" }],
  ["RoleBinding", { plural: "rolebindings" }],
  ["MutatingWebhookConfiguration", { plural: "mutatingwebhookconfigurations", cluster: true }],
  ["ValidatingWebhookConfiguration", { plural: "validatingwebhookconfigurations", cluster: true }],
]);

const metadataOf = (object: Manifest): { readonly name: string; readonly namespace?: string } =>
  object.metadata as { name: string; namespace?: string };

/** The object's path in the API. */
export const pathOf = (object: Manifest): string => {
  const apiVersion = String(object.apiVersion);
  const place = places.get(String(object.kind));
  if (!place) throw new TypeError(`no place is known for ${String(object.kind)}`);
  const { name, namespace } = metadataOf(object);
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = place.cluster ? "" : `/namespaces/${encodeURIComponent(namespace ?? "default")}`;
  return `${root}${within}/${place.plural}/${encodeURIComponent(name)}`;
};

const replicasOf = (object: unknown): number =>
  Number((object as { spec?: { replicas?: unknown } }).spec?.replicas ?? 0);

/** Replicas that an autoscaler has added stay, up to its bound: fewer at once would leave the others with their load. */
const asScaled = async (api: Pick<KubernetesApi, "call">, object: Manifest, replicasMax: number): Promise<Manifest> => {
  if (object.kind !== "Deployment") return object;
  try {
    const live = replicasOf(await api.call({ method: "GET", path: pathOf(object) }));
    const replicas = Math.max(replicasOf(object), Math.min(live, replicasMax));
    return { ...object, spec: { ...(object.spec as object), replicas } };
  } catch (error) {
    if ((error as KubernetesError).status === 404) return object;
    throw error;
  }
};

/** One after the other, in their order. WF2177 at the first that the server refuses; those before it stay. */
export const applyObjects = async (
  api: Pick<KubernetesApi, "call" | "server">,
  objects: readonly Manifest[],
  onApplied: (what: string) => void,
): Promise<void> => {
  const scaled = objects.find(({ kind }) => kind === "HorizontalPodAutoscaler")?.spec as
    | { maxReplicas?: number }
    | undefined;
  for (const object of objects) {
    const what = `${String(object.kind)} ${metadataOf(object).name}`;
    try {
      await api.call({
        method: "PATCH",
        path: `${pathOf(object)}?fieldManager=weft&force=true&fieldValidation=Strict`,
        body: await asScaled(api, object, scaled?.maxReplicas ?? 0),
        contentType: "application/apply-patch+yaml",
      });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new WeftError("WF2177", `${what} is refused by ${api.server}: ${why}`, {
        next: "correct it and install again; what was applied stays",
        cause,
      });
    }
    onApplied(what);
  }
};

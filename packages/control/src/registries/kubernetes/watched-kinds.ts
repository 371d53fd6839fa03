/** Which kinds are read from a cluster, and where its API has them. */
import { kinds } from "@weft/config/kinds/index";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { isRecord } from "./kubernetes-object.ts";

/** What the objects of a kind become. */
export type Use = "platform" | "pod" | "node" | "namespace" | "configuration" | "mesh" | "secret";

export interface WatchedKind {
  readonly name: string;
  readonly plural: string;
  readonly group: string;
  /** As weft knows them, the preferred one first. */
  readonly versions: readonly string[];
  /** Goes with every request. */
  readonly selector: string;
  /** It is read in this one only; absent: in all. */
  readonly namespace?: string;
  readonly use: Use;
}

/** Kinds of Kubernetes itself, which are always served. */
const own: readonly WatchedKind[] = [
  { name: "Service", plural: "services", group: "", versions: ["v1"], selector: "", use: "platform" },
  { name: "Endpoints", plural: "endpoints", group: "", versions: ["v1"], selector: "", use: "platform" },
  { name: "Pod", plural: "pods", group: "", versions: ["v1"], selector: "", use: "pod" },
  { name: "Node", plural: "nodes", group: "", versions: ["v1"], selector: "", use: "node" },
  { name: "Namespace", plural: "namespaces", group: "", versions: ["v1"], selector: "", use: "namespace" },
];

/** Large ones, and those of the cluster itself, which never hold keys of a gateway. */
const otherSecrets = [
  "helm.sh/release.v1",
  "kubernetes.io/service-account-token",
  "kubernetes.io/dockerconfigjson",
  "kubernetes.io/dockercfg",
  "bootstrap.kubernetes.io/token",
];

/** Secrets are read in namespaces that need them. */
export const secretKind = (namespace: string): WatchedKind => ({
  ...{ name: "Secret", plural: "secrets", group: "", versions: ["v1"], namespace, use: "secret" },
  selector: `fieldSelector=${encodeURIComponent(otherSecrets.map((type) => `type!=${type}`).join(","))}`,
});

/** What tells a followed kind from another: its name, and where it is read. */
export const idOf = ({ name, namespace }: Pick<WatchedKind, "name" | "namespace">): string =>
  namespace === undefined ? name : `${name} of ${namespace}`;

const platform: ReadonlySet<string> = new Set(["Service", "Endpoints", "EndpointSlice", "Secret"]);

const others: readonly WatchedKind[] = kinds
  .filter(({ inert, name, group }) => inert === undefined && (group !== "" || !platform.has(name)))
  .map(({ name, plural, group, versions }) => ({
    ...{ name, plural, group, versions, selector: "" },
    use: platform.has(name) ? "platform" : "configuration",
  }));

export const watchedKinds: readonly WatchedKind[] = [...own, ...others];

/** Where new kinds show first. */
export const definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

export const coreKinds: readonly WatchedKind[] = own;
export const discoveredKinds: readonly WatchedKind[] = others;

export const pathOf = ({ group, plural, namespace }: WatchedKind, version: string): string => {
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const within = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${within}/${plural}`;
};

/** The served path of each kind, by the kind's name; what is not served is not in it. Rejects as the API does. */
export const discoverKinds = async (
  api: Pick<KubernetesApi, "call">,
  wanted: readonly WatchedKind[],
): Promise<ReadonlyMap<string, string>> => {
  const groups = new Map(
    listOf(await api.call({ method: "GET", path: "/apis" }), "groups").map((group) => [
      String(group.name),
      listOf(group, "versions").map(({ version }) => String(version)),
    ]),
  );
  const found = new Map<string, string>();
  const served = new Map<string, ReadonlySet<string>>();
  const resources = async (group: string, version: string): Promise<ReadonlySet<string>> => {
    const path = `/apis/${group}/${version}`;
    const known = served.get(path) ?? (await pluralsAt(api, path));
    served.set(path, known);
    return known;
  };
  for (const kind of wanted) {
    const versions = groups.get(kind.group) ?? [];
    for (const version of kind.versions) {
      if (!versions.includes(version) || !(await resources(kind.group, version)).has(kind.plural)) continue;
      found.set(kind.name, pathOf(kind, version));
      break;
    }
  }
  return found;
};

const pluralsAt = async (api: Pick<KubernetesApi, "call">, path: string): Promise<ReadonlySet<string>> => {
  try {
    return new Set(listOf(await api.call({ method: "GET", path }), "resources").map(({ name }) => String(name)));
  } catch (error) {
    // The group went between the two questions.
    if ((error as { readonly status?: unknown }).status === 404) return new Set();
    throw error;
  }
};

const listOf = (value: unknown, field: string): readonly Readonly<Record<string, unknown>>[] => {
  const list = isRecord(value) ? value[field] : undefined;
  return Array.isArray(list) ? list.filter(isRecord) : [];
};

/** A cluster's objects as collections: services and endpoints for the model, and configuration. */
import type { Collection, Fetch, Graph, Keyed, Source } from "@weft/core/collection";
import { type ConfigItem, sameConfigItem } from "../../model/config-item.ts";
import type { RegistryView } from "../../model/merged-services.ts";
import { kubernetesRegistry, type PodOfEndpoint } from "../files/kubernetes.ts";
import { localityOfPod, type NamespaceFacts, type NodeFacts, type PodFacts } from "./cluster-facts.ts";

/** What is written by whoever follows the cluster; the next commit of the graph shows it. */
export interface ClusterSources {
  /** Service, EndpointSlice, Endpoints. */
  readonly objects: Source<ConfigItem>;
  /** Keys of those objects that are missing from the cluster and kept for now. */
  readonly held: Source<Keyed>;
  readonly pods: Source<PodFacts>;
  readonly nodes: Source<NodeFacts>;
  readonly namespaces: Source<NamespaceFacts>;
  /** Pods that endpoints do not wait for any more, by key; `noPods` for all of them. */
  readonly waived: Source<Keyed>;
  /** What configures the mesh, with its secrets. */
  readonly configuration: Source<ConfigItem>;
}

export interface ClusterView extends RegistryView, ClusterSources {
  /** Of the configuration, what is in namespaces that are read. */
  readonly configurationRead: Collection<ConfigItem>;
}

/** In `waived`: pods cannot be read at all. */
export const noPods = "*";

export const clusterSources = (graph: Graph, name: string): ClusterSources => ({
  configuration: graph.source<ConfigItem>(`${name} configuration`, { equal: sameConfigItem }),
  objects: graph.source<ConfigItem>(`${name} objects`, { equal: sameConfigItem }),
  held: graph.source<Keyed>(`${name} held`),
  pods: graph.source<PodFacts>(`${name} pods`),
  nodes: graph.source<NodeFacts>(`${name} nodes`),
  namespaces: graph.source<NamespaceFacts>(`${name} namespaces`),
  waived: graph.source<Keyed>(`${name} waived`),
});

export interface ClusterViewOptions {
  readonly name: string;
  readonly rank: number;
  readonly domain: string;
  /** The control plane's. */
  readonly rootNamespace: string;
  /** Names of namespaces that are not read. */
  readonly passedOver: Collection<Keyed>;
}

export const clusterView = (
  graph: Graph,
  sources: ClusterSources,
  { name, rank, domain, rootNamespace, passedOver }: ClusterViewOptions,
): ClusterView => {
  const isRead = (fetch: Fetch, namespace: string): boolean => fetch.get(passedOver, namespace) === undefined;
  const view = kubernetesRegistry(graph, sources.objects, domain, {
    source: name,
    rank,
    podOf: (fetch, namespace, pod) => podOf({ ...sources, rootNamespace }, fetch, `${namespace}/${pod}`),
    isHeld: (fetch, { key }) => fetch.get(sources.held, key) !== undefined,
    isRead,
  });
  const configurationRead = graph.derive(
    `${name} configuration read`,
    sources.configuration,
    // The mesh's settings say what is read, so they are.
    (item, fetch) => (item.object.kind === "MeshConfig" || isRead(fetch, item.object.namespace) ? item : undefined),
    { equal: sameConfigItem },
  );
  return { ...view, ...sources, configurationRead };
};

/** The label of a pod, or else of the control plane's namespace, that says which network addresses are of. */
const networkLabel = "topology.istio.io/network";

interface PodSources extends Pick<ClusterSources, "pods" | "nodes" | "waived" | "namespaces"> {
  readonly rootNamespace: string;
}

const podOf = (
  { pods, nodes, waived, namespaces, rootNamespace }: PodSources,
  fetch: Fetch,
  key: string,
): PodOfEndpoint | "waits" | undefined => {
  const pod = fetch.get(pods, key);
  if (!pod) return fetch.get(waived, key) || fetch.get(waived, noPods) ? undefined : "waits";
  const locality = localityOfPod(pod) ?? fetch.get(nodes as Collection<NodeFacts>, pod.node)?.locality ?? "";
  const network = pod.labels[networkLabel] ?? fetch.get(namespaces, rootNamespace)?.labels[networkLabel] ?? "";
  const labels = network === "" ? pod.labels : { ...pod.labels, [networkLabel]: network };
  return { labels, serviceAccount: pod.serviceAccount, locality, network };
};

/** A cluster's objects as collections: services and endpoints for the model, and configuration. */
import type { Collection, Fetch, Graph, Keyed, Source } from "@weft/core/collection";
import { type ConfigItem, sameConfigItem } from "../../model/config-item.ts";
import type { RegistryView } from "../../model/merged-services.ts";
import { kubernetesRegistry, type PodOfEndpoint } from "../files/kubernetes.ts";
import { localityOfPod, type NodeFacts, type PodFacts } from "./cluster-facts.ts";

export interface ClusterView extends RegistryView {
  /** Service, EndpointSlice, Endpoints. */
  readonly objects: Source<ConfigItem>;
  /** Keys of those objects that are missing from the cluster and kept for now. */
  readonly held: Source<Keyed>;
  readonly pods: Source<PodFacts>;
  readonly nodes: Source<NodeFacts>;
  /** Pods that endpoints do not wait for any more, by key; `noPods` for all of them. */
  readonly waived: Source<Keyed>;
  /** What configures the mesh, with its secrets. */
  readonly configuration: Source<ConfigItem>;
}

/** In `waived`: pods cannot be read at all. */
export const noPods = "*";

/** Written to by whoever follows the cluster; the next commit of the graph shows it. */
export const clusterView = (
  graph: Graph,
  { name, rank, domain }: { readonly name: string; readonly rank: number; readonly domain: string },
): ClusterView => {
  const configuration = graph.source<ConfigItem>(`${name} configuration`, { equal: sameConfigItem });
  const objects = graph.source<ConfigItem>(`${name} objects`, { equal: sameConfigItem });
  const held = graph.source<Keyed>(`${name} held`);
  const pods = graph.source<PodFacts>(`${name} pods`);
  const nodes = graph.source<NodeFacts>(`${name} nodes`);
  const waived = graph.source<Keyed>(`${name} waived`);
  const view = kubernetesRegistry(graph, objects, domain, {
    source: name,
    rank,
    podOf: (fetch, namespace, pod) => podOf({ pods, nodes, waived }, fetch, `${namespace}/${pod}`),
    isHeld: (fetch, { key }) => fetch.get(held, key) !== undefined,
  });
  return { ...view, objects, held, pods, nodes, waived, configuration };
};

const podOf = (
  { pods, nodes, waived }: { readonly [K in "pods" | "nodes" | "waived"]: ClusterView[K] },
  fetch: Fetch,
  key: string,
): PodOfEndpoint | "waits" | undefined => {
  const pod = fetch.get(pods, key);
  if (!pod) return fetch.get(waived, key) || fetch.get(waived, noPods) ? undefined : "waits";
  const locality = localityOfPod(pod) ?? fetch.get(nodes as Collection<NodeFacts>, pod.node)?.locality ?? "";
  return { labels: pod.labels, serviceAccount: pod.serviceAccount, locality };
};

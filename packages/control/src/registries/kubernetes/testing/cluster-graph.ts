/** The view of one cluster, over sources that a test fills. */
import { createGraph } from "@weft/core/collection";
import { clusterSources, clusterView } from "../cluster-view.ts";
import { readNamespaces } from "../read-namespaces.ts";

export const createClusterGraph = () => {
  const graph = createGraph();
  const rootNamespace = "istio-system";
  const sources = clusterSources(graph, "kubernetes");
  const passedOver = readNamespaces(graph, { configurations: [sources.configuration], rootNamespace });
  const view = clusterView(graph, sources, {
    ...{ name: "kubernetes", rank: 11, domain: "cluster.local", rootNamespace },
    passedOver: passedOver("kubernetes", sources.namespaces),
  });
  return { graph, rootNamespace, view };
};

/** What a client tells a management server that it can do, in its node. */
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";

/** Lifetimes of resources are honoured, in both forms of the protocol. */
export const discoveryFeatures = ["xds.config.supports-resource-ttl", "xds.config.supports-resource-in-sotw"] as const;
/** The client of a delta stream asks for virtual hosts as requests name them, by our own sidecar's rules. */
export const onDemandFeature = "weft.on-demand";
/** A load report may be asked for all clusters instead of named ones. */
export const sendAllClustersFeature = "envoy.lrs.supports_send_all_clusters";

/** The node with these features beside those it has. */
export const withFeatures = (node: NodeJson, features: readonly string[]): NodeJson => ({
  ...node,
  clientFeatures: [...new Set([...(node.clientFeatures ?? []), ...features])],
});

/** Hosts and clusters for tests. */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { LbEndpointJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint_components";
import { localHostCounts } from "../counts.ts";
import type { Host } from "../host.ts";
import { createHost } from "../host-set.ts";

const nowhere = { region: "", zone: "", subZone: "" };

/** Healthy hosts `10.1.0.1:80`, `10.1.0.2:80` and on. */
export const testHosts = (count: number, weights: readonly number[] = []): Host[] =>
  Array.from({ length: count }, (_, index) =>
    createHost(
      {
        target: { kind: "ip", host: `10.1.0.${index + 1}`, port: 80 },
        unresolved: false,
        weight: weights[index] ?? 1,
        priority: 0,
        locality: nowhere,
        metadata: {},
        health: "healthy",
        hostname: "",
      },
      localHostCounts,
    ),
  );

export const endpoint = (address: string, more: LbEndpointJson = {}): LbEndpointJson => ({
  endpoint: { address: { socketAddress: { address, portValue: 80 } } },
  ...more,
});

export const assignment = (...endpoints: LbEndpointJson[]): ClusterLoadAssignmentJson => ({
  clusterName: "c",
  endpoints: [{ lbEndpoints: endpoints }],
});

export const staticCluster = (addresses: readonly string[], more: ClusterJson = {}): ClusterJson => ({
  name: "c",
  type: "STATIC",
  loadAssignment: assignment(...addresses.map((address) => endpoint(address))),
  ...more,
});

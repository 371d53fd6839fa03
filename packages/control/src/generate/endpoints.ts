/** ClusterLoadAssignments: a cluster's endpoints by locality, with weights, mTLS capability and workload names. */

import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type {
  LbEndpointJson,
  LocalityLbEndpointsJson,
} from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint_components";
import type { EndpointRecord, Service } from "../model/service.ts";
import { labelsMatch } from "../model/workload-policies.ts";
import { type LocalityRules, localityRules, placeLocalities, placeOf } from "./localities.ts";
import { type ClusterNameParts, isMeshServerName, parseClusterName } from "./names.ts";
import type { Scope } from "./scope.ts";
import { type PolicyBlocks, policyFor, withMeshDefaults } from "./traffic-policy.ts";

/** The endpoints of an outbound cluster as they are now. A cluster of a service that is gone has none. */
export const endpointsOfCluster = (scope: Scope, clusterName: string): ClusterLoadAssignmentJson => {
  const parts = parseClusterName(clusterName);
  const service = parts && scope.egress.services.get(parts.hostname);
  if (!parts || !service) return { clusterName };
  const policy = scope.model.rules().destinationPolicy(service, scope.proxy);
  const known = scope.model.endpoints.get(service.key);
  const { mesh } = scope.model;
  const blocks = withMeshDefaults(policyFor(policy, parts.port, parts.subset), mesh);
  const rules = localityRules(blocks, mesh);
  const place = rules ? placeOf(scope.proxy, rules) : "";
  return scope.memo.of(
    `endpoints ${clusterName} ${service.key} ${policy?.id} ${place}`,
    [known, mesh, ...(policy?.rules ?? [])],
    () => {
      const subset = policy?.subsets.find(({ name }) => name === parts.subset);
      const records = (known?.endpoints ?? []).filter(
        (endpoint) =>
          endpoint.servicePort === parts.port &&
          (endpoint.health !== "unhealthy" || sendsUnhealthy(blocks)) &&
          (endpoint.meshTls || !isMeshServerName(clusterName)) &&
          (parts.subset === "" || (subset !== undefined && labelsMatch(subset.labels, endpoint.labels))),
      );
      return assignment(clusterName, records, { scope, rules });
    },
  );
};

/** The proxy knows of endpoints that are not ready, unless a panic threshold could have it use them. */
const sendsUnhealthy = ({ outlierDetection }: PolicyBlocks): boolean => !outlierDetection?.minHealthPercent;

/** The same for clusters that resolve names themselves; without endpoints of its own the service's name is resolved. */
export const staticAssignment = (scope: Scope, clusterName: string): ClusterLoadAssignmentJson => {
  const made = endpointsOfCluster(scope, clusterName);
  if (made.endpoints?.length) return made;
  const parts = parseClusterName(clusterName) as ClusterNameParts;
  const service = scope.egress.services.get(parts.hostname) as Service;
  const portValue = service.ports.find(({ number }) => number === parts.port)?.targetPort ?? parts.port;
  if (parts.hostname.startsWith("*")) return { clusterName };
  const address = { socketAddress: { address: parts.hostname, portValue } };
  return {
    clusterName,
    endpoints: [{ lbEndpoints: [{ endpoint: { address }, loadBalancingWeight: 1 }], loadBalancingWeight: 1 }],
  };
};

const assignment = (
  clusterName: string,
  records: readonly EndpointRecord[],
  { scope, rules }: { readonly scope: Scope; readonly rules: LocalityRules | undefined },
): ClusterLoadAssignmentJson => {
  const places = placeLocalities(records, scope.proxy, rules);
  const endpoints = places.map(({ locality, priority, weight, members }): LocalityLbEndpointsJson => {
    const [region, zone, subZone] = locality.split("/");
    return {
      ...(locality === ""
        ? { locality: {} }
        : { locality: { region: region ?? "", ...(zone ? { zone } : {}), ...(subZone ? { subZone } : {}) } }),
      lbEndpoints: members.map(lbEndpoint),
      loadBalancingWeight: weight,
      ...(priority > 0 ? { priority } : {}),
    };
  });
  return endpoints.length > 0 ? { clusterName, endpoints } : { clusterName };
};

/** Endpoints are as many as they are long-lived: each is the same object in every assignment it is in, and encoded once. */
const made = new WeakMap<EndpointRecord, LbEndpointJson>();

const lbEndpoint = (record: EndpointRecord): LbEndpointJson => {
  const known = made.get(record) ?? endpointJson(record);
  made.set(record, known);
  return known;
};

const endpointJson = (record: EndpointRecord): LbEndpointJson => ({
  endpoint: { address: addressJson(record.address, record.port) },
  ...healthStatus(record),
  metadata: {
    filterMetadata: {
      ...(record.meshTls ? { "envoy.transport_socket_match": { tlsMode: "istio" } } : {}),
      istio: { workload: workloadText(record) },
    },
  },
  loadBalancingWeight: Math.max(1, record.weight),
});

/** What proxies report never takes an endpoint out of the list: who checks it has to see it come back. */
const healthStatus = ({ health, reportedFailed }: EndpointRecord): Pick<LbEndpointJson, "healthStatus"> => {
  if (health === "draining") return { healthStatus: "DRAINING" };
  return health === "unhealthy" || reportedFailed ? { healthStatus: "UNHEALTHY" } : {};
};

export const addressJson = (address: string, portValue: number): AddressJson =>
  address.startsWith("unix://")
    ? { pipe: { path: address.slice("unix://".length) } }
    : { socketAddress: { address, portValue } };

/** `workload;namespace;canonical name;canonical revision;cluster`, which clients show of servers that tell nothing. */
const workloadText = ({ workload, namespace, labels, cluster }: EndpointRecord): string => {
  const name = labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels.app ?? workload;
  const revision =
    labels["service.istio.io/canonical-revision"] ?? labels["app.kubernetes.io/version"] ?? labels.version ?? "latest";
  return [workload, namespace, name, revision === "latest" ? "" : revision, cluster].join(";");
};

/** Clusters that look every host up when it is first asked for, for services whose names are wildcards. */
import { toProtoDuration } from "@weft/core/duration";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { any } from "@weft/xds/resource";
import type { Scope } from "./scope.ts";
import { circuitBreakers, tcpKeepalive, withMeshDefaults } from "./traffic-policy.ts";
import type { AutoNames } from "./upstream-transport.ts";

/** One for all clusters of a proxy, as its filters must name the same. */
export const dnsCache = (scope: Pick<Scope, "model">) => ({
  name: "dynamic_forward_proxy_cache_config",
  dnsLookupFamily: "V4_PREFERRED" as const,
  dnsRefreshRate: toProtoDuration(scope.model.mesh.dnsRefreshMs),
});

const clusterConfig = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";

/** For requests to places the mesh does not know, where MeshConfig has their hosts looked up. */
export const unknownNames = (scope: Scope, name: string): ClusterJson => ({
  name,
  altStatName: `${name};`,
  ...dynamicDns(scope, undefined),
  connectTimeout: toProtoDuration(scope.model.mesh.connectTimeoutMs),
  circuitBreakers: circuitBreakers(withMeshDefaults({}, scope.model.mesh)),
  ...tcpKeepalive({}, scope.model.mesh),
});

export const dynamicDns = (scope: Scope, names: AutoNames | undefined): Partial<ClusterJson> => ({
  clusterType: {
    name: "envoy.clusters.dynamic_forward_proxy",
    typedConfig: any(clusterConfig, {
      dnsCacheConfig: dnsCache(scope),
      // Envoy refuses a server that is not verified by the request's host, unless it is told that this is meant.
      ...(names?.sni && names.san ? {} : { allowInsecureClusterOptions: true }),
    }),
  },
  lbPolicy: "CLUSTER_PROVIDED",
});

/** Clusters of the server's side: the application's ports, and connections to ports no service names. */
import type { ConnectionPoolSettings } from "@weft/config/kinds/destination-rule";
import { toProtoDuration } from "@weft/core/duration";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { Protocol } from "../model/protocol.ts";
import type { Service } from "../model/service.ts";
import { inboundCluster, inboundPassthroughCluster } from "./names.ts";
import { hasIPv6 } from "./proxy-facts.ts";
import type { Scope } from "./scope.ts";
import { circuitBreakers, duration, policyFor, tcpKeepalive, withMeshDefaults } from "./traffic-policy.ts";
import { upstreamHttp } from "./upstream-http.ts";

export interface ApplicationPort {
  readonly address: AddressJson;
  readonly appPort: number;
  readonly protocol: Protocol;
  readonly service: Service | undefined;
  readonly servicePort: number;
  /** Stands instead of the pool limits of the service's DestinationRule. */
  readonly connectionPool?: ConnectionPoolSettings | undefined;
  /** The application is reached at the address that was dialled, not at `address`. */
  readonly asDialled?: boolean | undefined;
}

/** Where the client dialled, from an address that interception leaves alone. */
const asDialled = (scope: Scope): Pick<ClusterJson, "type" | "lbPolicy" | "upstreamBindConfig"> => ({
  type: "ORIGINAL_DST",
  lbPolicy: "CLUSTER_PROVIDED",
  upstreamBindConfig: {
    sourceAddress: { address: "127.0.0.6", portValue: 0 },
    ...(hasIPv6(scope.proxy) ? { extraSourceAddresses: [{ address: { address: "::6", portValue: 0 } }] } : {}),
  },
});

/**
 * To the application. The pool limits of its service's DestinationRule hold here too, as in Istio, so that a server is not
 * given more than its clients were meant to send; nothing else of that rule does.
 */
export const applicationCluster = (scope: Scope, target: ApplicationPort): ClusterJson => {
  const { service, servicePort, protocol, appPort } = target;
  const { model, proxy } = scope;
  const policy = service ? model.rules().destinationPolicy(service, proxy, "inbound") : undefined;
  const name = inboundCluster(appPort);
  const ofRule = withMeshDefaults(policyFor(policy, servicePort), model.mesh).connectionPool;
  const connectionPool = target.connectionPool ?? ofRule;
  const pool = connectionPool ? { connectionPool } : {};
  const connectTimeout = connectionPool?.tcp?.connectTimeout;
  const [rule] = policy?.trafficPolicy ? policy.rules : [];
  const upstream = protocol === "tcp" || protocol === "tls" || protocol === "https" ? "auto" : protocol;
  return {
    name,
    altStatName: `${name};`,
    ...(target.asDialled ? asDialled(scope) : {}),
    ...(target.asDialled ? {} : { type: "STATIC" as const }),
    connectTimeout: connectTimeout ? duration(connectTimeout) : toProtoDuration(model.mesh.connectTimeoutMs),
    circuitBreakers: circuitBreakers(pool),
    ...tcpKeepalive(pool, model.mesh),
    ...(target.asDialled
      ? {}
      : {
          loadAssignment: {
            clusterName: name,
            endpoints: [{ lbEndpoints: [{ endpoint: { address: target.address } }] }],
          },
        }),
    ...upstreamHttp({ protocol: upstream, connectionPool, mesh: model.mesh, direction: "inbound" }),
    metadata: {
      filterMetadata: {
        istio: {
          ...(rule
            ? { config: `/apis/networking.istio.io/v1/namespaces/${rule.namespace}/destination-rule/${rule.name}` }
            : {}),
          services: service ? [{ host: service.hostname, name: service.name, namespace: service.namespace }] : [],
        },
      },
    },
  };
};

/** To the port that was dialled, from an address that interception leaves alone. */
export const inboundPassthrough = (scope: Scope): ClusterJson => {
  const { mesh } = scope.model;
  const pool = withMeshDefaults({}, mesh);
  return {
    name: inboundPassthroughCluster,
    altStatName: `${inboundPassthroughCluster};`,
    ...asDialled(scope),
    connectTimeout: toProtoDuration(mesh.connectTimeoutMs),
    circuitBreakers: circuitBreakers(pool),
    ...tcpKeepalive(pool, mesh),
    ...upstreamHttp({ protocol: "auto", connectionPool: undefined, mesh, direction: "inbound" }),
  };
};

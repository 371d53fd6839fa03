/** Clusters for every port and subset of every service a client sees, and the special ones. */
import { toProtoDuration } from "@weft/core/duration";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { any } from "@weft/xds/resource";
import type { DestinationPolicy } from "../model/destination-rules.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { dynamicDns } from "./dynamic-dns.ts";
import { staticAssignment } from "./endpoints.ts";
import { localityRules, placeOf } from "./localities.ts";
import { blackHoleCluster, outboundCluster, passthroughCluster } from "./names.ts";
import type { Scope } from "./scope.ts";
import { fromAds } from "./tls-contexts.ts";
import {
  circuitBreakers,
  commonLb,
  duration,
  loadBalancing,
  outlierDetectionJson,
  type PolicyBlocks,
  policyFor,
  tcpKeepalive,
  withMeshDefaults,
  withRetryBudget,
} from "./traffic-policy.ts";
import { httpOptionsName, isHttp2Upstream, type UpstreamHttpInput, upstreamHttp } from "./upstream-http.ts";
import { type AutoNames, autoNames, losesCredential, originates, transport } from "./upstream-transport.ts";

interface Target {
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: string;
  readonly policy: DestinationPolicy | undefined;
}

/** The clusters of one service: one per port, and one per port and subset. */
export const serviceClusters = (scope: Scope, service: Service): readonly ClusterJson[] => {
  const policy = scope.model.rules().destinationPolicy(service, scope.proxy);
  const { sdsCluster, native } = scope.proxy;
  const clusters: ClusterJson[] = [];
  for (const port of service.ports) {
    if (port.protocol === "udp") continue;
    for (const subset of ["", ...(policy?.subsets ?? []).map(({ name }) => name)]) {
      const name = outboundCluster(service.hostname, port.number, subset);
      const target: Target = { service, port, subset, policy };
      const blocks = blocksOf(scope, target);
      // Endpoints that DNS finds are in the cluster, in the order of the client's place.
      const dns = service.resolution === "strictDns" || service.resolution === "logicalDns";
      const endpoints = dns ? scope.model.endpoints.get(service.key) : undefined;
      const rules = dns ? localityRules(blocks, scope.model.mesh) : undefined;
      const place = rules ? placeOf(scope.proxy, rules) : "";
      const { kind, mode } = scope.proxy;
      clusters.push(
        scope.memo.of(
          `cluster ${name} ${service.key} ${policy?.id} ${sdsCluster} ${native} ${kind} ${mode === "NONE"} ${place}`,
          [service, endpoints, scope.model.mesh, ...(policy?.rules ?? [])],
          () => outbound(scope, target, blocks),
        ),
      );
    }
  }
  return clusters;
};

const blocksOf = ({ model }: Scope, { port, subset, policy }: Target): PolicyBlocks =>
  withMeshDefaults(policyFor(policy, port.number, subset), model.mesh);

const outbound = (scope: Scope, target: Target, blocks: PolicyBlocks): ClusterJson => {
  const { service, port, subset, policy } = target;
  const { mesh } = scope.model;
  const name = outboundCluster(service.hostname, port.number, subset);
  const connectTimeout = blocks.connectionPool?.tcp?.connectTimeout;
  const { protocol } = port;
  const input = { service, port: port.number, protocol, subset, policy, blocks };
  const names = autoNames(scope, input);
  const http: UpstreamHttpInput = {
    protocol,
    connectionPool: blocks.connectionPool,
    mesh,
    direction: "outbound",
    autoName: names,
  };
  return {
    name,
    altStatName: `${name};`,
    ...discovery(scope, target, { blocks, names }),
    connectTimeout: connectTimeout ? duration(connectTimeout) : toProtoDuration(mesh.connectTimeoutMs),
    circuitBreakers: circuitBreakers(withRetryBudget(blocks, mesh)),
    ...(blocks.outlierDetection ? { outlierDetection: outlierDetectionJson(blocks.outlierDetection) } : {}),
    ...commonLb(blocks, mesh),
    ...upstreamHttp(http),
    ...tcpKeepalive(blocks, mesh),
    ...transport(scope, { ...input, http2: isHttp2Upstream(http) }),
    metadata: { filterMetadata: { istio: metadata(scope, target, blocks) } },
  };
};

const metadata = ({ proxy }: Scope, { service, subset, policy }: Target, { tls }: PolicyBlocks) => {
  const [rule] = policy?.rules ?? [];
  return {
    ...(rule
      ? { config: `/apis/networking.istio.io/v1/namespaces/${rule.namespace}/destination-rule/${rule.name}` }
      : {}),
    ...(subset === "" ? {} : { subset }),
    services: [{ host: service.hostname, name: service.name, namespace: service.namespace }],
    ...(service.location === "external" ? { external: true } : {}),
    // The server is not the mesh's: it is offered the protocols of the TLS context, not the mesh's own.
    ...(originates(tls) && !losesCredential(tls, proxy.kind, policy) ? { alpn_override: "false" } : {}),
  };
};

const discovery = (
  scope: Scope,
  target: Target,
  { blocks, names }: { readonly blocks: PolicyBlocks; readonly names: AutoNames | undefined },
): Partial<ClusterJson> => {
  const { service, port, subset } = target;
  const { mesh } = scope.model;
  const name = outboundCluster(service.hostname, port.number, subset);
  const { resolution } = service;
  if (blocks.loadBalancer?.simple === "PASSTHROUGH" && !blocks.loadBalancer.consistentHash) return asDialled;
  if (resolution === "dynamicDns") return dynamicDns(scope, names);
  // A gateway has no address that the client dialled.
  if (resolution === "passthrough" && scope.proxy.kind !== "gateway") return asDialled;
  if (resolution === "eds" || resolution === "passthrough") {
    return {
      type: "EDS",
      edsClusterConfig: { edsConfig: fromAds, serviceName: name },
      ...loadBalancing(blocks.loadBalancer),
    };
  }
  const refresh = toProtoDuration(mesh.dnsRefreshMs);
  return {
    type: resolution === "strictDns" ? "STRICT_DNS" : "LOGICAL_DNS",
    respectDnsTtl: true,
    dnsRefreshRate: refresh,
    dnsFailureRefreshRate: { baseInterval: refresh, maxInterval: refresh },
    dnsLookupFamily: "V4_PREFERRED",
    loadAssignment: staticAssignment(scope, name),
    ...loadBalancing(blocks.loadBalancer),
  };
};

const asDialled: Partial<ClusterJson> = { type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" };

const asDownstream = {
  typedExtensionProtocolOptions: {
    [httpOptionsName]: any(httpOptionsName, {
      commonHttpProtocolOptions: { idleTimeout: "300s" },
      useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
    }),
  },
};

/** To where the client dialled; in explicit mode, to the address in the Host header. */
export const passthrough = (scope: Scope): ClusterJson => ({
  name: passthroughCluster,
  altStatName: `${passthroughCluster};`,
  type: "ORIGINAL_DST",
  lbPolicy: "CLUSTER_PROVIDED",
  ...(scope.proxy.mode === "NONE" && scope.proxy.kind === "sidecar"
    ? { originalDstLbConfig: { useHttpHeader: true, ...(scope.proxy.native ? {} : { httpHeaderName: ":authority" }) } }
    : {}),
  connectTimeout: toProtoDuration(scope.model.mesh.connectTimeoutMs),
  circuitBreakers: circuitBreakers(withMeshDefaults({}, scope.model.mesh)),
  ...tcpKeepalive({}, scope.model.mesh),
  ...asDownstream,
});

/** Takes connections that must go nowhere. */
export const blackHole = (scope: Scope): ClusterJson => ({
  name: blackHoleCluster,
  altStatName: `${blackHoleCluster};`,
  type: "STATIC",
  connectTimeout: toProtoDuration(scope.model.mesh.connectTimeoutMs),
});

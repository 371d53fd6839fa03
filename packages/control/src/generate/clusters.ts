/** Clusters for every port and subset of every service a client sees, and the special ones. */
import { toProtoDuration } from "@weft/core/duration";
import type { Cluster_TransportSocketMatchJson, ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { any } from "@weft/xds/resource";
import { isHttp2 } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import type { DestinationPolicy } from "../model/traffic-rules.ts";
import { staticAssignment } from "./endpoints.ts";
import { blackHoleCluster, meshServerName, outboundCluster, passthroughCluster } from "./names.ts";
import type { Scope } from "./scope.ts";
import { fromAds, meshClientSocket, originatedTlsSocket, plaintextSocket } from "./tls-contexts.ts";
import {
  circuitBreakers,
  commonLb,
  duration,
  httpOptions,
  loadBalancing,
  outlierDetectionJson,
  type PolicyBlocks,
  policyFor,
  tcpKeepalive,
} from "./traffic-policy.ts";

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
      const dns = service.resolution === "strictDns" || service.resolution === "logicalDns";
      const endpoints = dns ? scope.model.endpoints.get(service.key) : undefined;
      clusters.push(
        scope.memo.of(
          `cluster ${name} ${service.key} ${policy?.id} ${sdsCluster} ${native}`,
          [service, endpoints, ...(policy?.rules ?? [])],
          () => outbound(scope, { service, port, subset, policy }),
        ),
      );
    }
  }
  return clusters;
};

const outbound = (scope: Scope, target: Target): ClusterJson => {
  const { service, port, subset, policy } = target;
  const blocks = policyFor(policy, port.number, subset);
  const name = outboundCluster(service.hostname, port.number, subset);
  const connectTimeout = blocks.connectionPool?.tcp?.connectTimeout;
  return {
    name,
    altStatName: `${name};`,
    ...discovery(scope, target, blocks),
    connectTimeout: connectTimeout ? duration(connectTimeout) : toProtoDuration(scope.model.mesh.connectTimeoutMs),
    circuitBreakers: circuitBreakers(blocks),
    ...(blocks.outlierDetection ? { outlierDetection: outlierDetectionJson(blocks.outlierDetection) } : {}),
    ...commonLb(blocks),
    ...httpOptions(port.protocol, blocks),
    ...tcpKeepalive(blocks),
    ...transport(scope, target, blocks),
    metadata: { filterMetadata: { istio: metadata(target) } },
  };
};

const metadata = ({ service, subset, policy }: Target) => {
  const [rule] = policy?.rules ?? [];
  return {
    ...(rule
      ? { config: `/apis/networking.istio.io/v1/namespaces/${rule.namespace}/destination-rule/${rule.name}` }
      : {}),
    ...(subset === "" ? {} : { subset }),
    services: [{ host: service.hostname, name: service.name, namespace: service.namespace }],
  };
};

const discovery = (scope: Scope, target: Target, blocks: PolicyBlocks): Partial<ClusterJson> => {
  const { service, port, subset } = target;
  const name = outboundCluster(service.hostname, port.number, subset);
  if (service.resolution === "passthrough" || blocks.loadBalancer?.simple === "PASSTHROUGH") {
    return { type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" };
  }
  if (service.resolution === "eds") {
    return {
      type: "EDS",
      edsClusterConfig: { edsConfig: fromAds, serviceName: name },
      ...loadBalancing(blocks.loadBalancer, scope.proxy.native),
    };
  }
  return {
    type: service.resolution === "strictDns" ? "STRICT_DNS" : "LOGICAL_DNS",
    respectDnsTtl: true,
    dnsRefreshRate: toProtoDuration(scope.model.mesh.dnsRefreshMs),
    dnsFailureRefreshRate: {
      baseInterval: toProtoDuration(scope.model.mesh.dnsRefreshMs),
      maxInterval: toProtoDuration(scope.model.mesh.dnsRefreshMs),
    },
    dnsLookupFamily: "V4_PREFERRED",
    loadAssignment: staticAssignment(scope, name),
    ...loadBalancing(blocks.loadBalancer, scope.proxy.native),
  };
};

/** TLS as the rule says; without one, mTLS to endpoints that have it and plaintext to those that do not. */
const transport = (scope: Scope, target: Target, { tls }: PolicyBlocks): Partial<ClusterJson> => {
  const { service, port, subset } = target;
  const { sdsCluster, native } = scope.proxy;
  const mesh = sdsCluster
    ? meshClientSocket({
        sdsCluster,
        native,
        identities: tls?.subjectAltNames?.length ? tls.subjectAltNames : service.identities,
        protocol: port.protocol,
        sni: tls?.sni ?? meshServerName(service.hostname, port.number, subset),
      })
    : undefined;
  if (tls) {
    if (tls.mode === "ISTIO_MUTUAL") return mesh ? { transportSocket: mesh } : {};
    if (tls.mode === "SIMPLE" || tls.mode === "MUTUAL") {
      const options = { sni: service.hostname, http2: isHttp2(port.protocol), identities: service.identities };
      return { transportSocket: originatedTlsSocket(tls, options) };
    }
    return {};
  }
  if (!mesh || service.location === "external" || !scope.model.mesh.enableAutoMtls) return {};
  if (service.resolution === "passthrough") return {};
  return { transportSocketMatches: autoMtls(mesh) };
};

const autoMtls = (mesh: NonNullable<ClusterJson["transportSocket"]>): Cluster_TransportSocketMatchJson[] => [
  { name: "tlsMode-istio", match: { tlsMode: "istio" }, transportSocket: mesh },
  { name: "tlsMode-disabled", match: {}, transportSocket: plaintextSocket },
];

const httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
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
  circuitBreakers: circuitBreakers({}),
  ...asDownstream,
});

/** Takes connections that must go nowhere. */
export const blackHole = (scope: Scope): ClusterJson => ({
  name: blackHoleCluster,
  altStatName: `${blackHoleCluster};`,
  type: "STATIC",
  connectTimeout: toProtoDuration(scope.model.mesh.connectTimeoutMs),
});

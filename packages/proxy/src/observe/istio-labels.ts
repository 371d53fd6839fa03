/** The 25 labels of Istio's metrics and where each value comes from. */
import { parseIdentity } from "@weft/core/identity";
import type { Exchange } from "../http/exchange.ts";
import { type Peer, parseWorkload, unknownPeer } from "./peer.ts";
import type { Labels } from "./stats.ts";
import type { TcpExchange } from "./tcp-exchange.ts";

/** Everything the labels say about one request or connection. */
export interface Traffic {
  readonly reporter: "source" | "destination";
  readonly source: Peer;
  readonly destination: Peer;
  readonly sourcePrincipal: string;
  readonly destinationPrincipal: string;
  readonly service: Service;
  readonly protocol: "http" | "grpc" | "tcp";
  readonly status: number;
  readonly grpcStatus: number;
  readonly flags: string;
  readonly security: string;
}

interface Service {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

export interface TrafficOptions {
  readonly self: Peer;
  readonly grpc: boolean;
  readonly hostHeaderFallback: boolean;
}

const specialClusters: ReadonlySet<string> = new Set([
  "BlackHoleCluster",
  "PassthroughCluster",
  "InboundPassthroughCluster",
]);
const specialRoutes: ReadonlyMap<string, string> = new Map([
  ["block_all", "BlackHoleCluster"],
  ["allow_any", "PassthroughCluster"],
]);

const isHttp = (traffic: Exchange | TcpExchange): traffic is Exchange => "request" in traffic;

const text = (value: unknown, fallback: string): string =>
  typeof value === "string" && value !== "" ? value : fallback;

/** The destination service: what the cluster's metadata says, else the Host header, else the special cluster's name. */
const serviceOf = (traffic: Exchange | TcpExchange, inbound: boolean, fallback: boolean): Service => {
  const { cluster } = traffic;
  const services = cluster?.metadata.istio?.services;
  const first: unknown = Array.isArray(services) ? services[0] : undefined;
  if (typeof first === "object" && first !== null) {
    const { host, name, namespace } = first as Readonly<Record<string, unknown>>;
    return { host: text(host, "unknown"), name: text(name, "unknown"), namespace: text(namespace, "unknown") };
  }
  const route = isHttp(traffic) ? traffic.route : undefined;
  const special =
    specialRoutes.get(route?.virtualHost ?? "") ??
    specialRoutes.get(route?.name ?? "") ??
    (cluster && specialClusters.has(cluster.name) ? cluster.name : undefined);
  const authority = isHttp(traffic) && fallback && !inbound ? traffic.request.authority.toLowerCase() : "";
  const host = authority || special || "unknown";
  const name = special ?? (authority === "" ? "unknown" : (authority.split(/[.:]/)[0] ?? "unknown"));
  return { host, name, namespace: "unknown" };
};

const endpointPeer = (traffic: Exchange | TcpExchange): Peer | undefined => {
  const workload = traffic.host?.metadata.istio?.workload;
  return typeof workload === "string" ? parseWorkload(workload) : undefined;
};

/** The peer's namespace is believed from its certificate before its own word. */
const withNamespace = (peer: Peer, principal: string): Peer => {
  const identity = parseIdentity(principal);
  return identity && identity.namespace !== peer.namespace ? { ...peer, namespace: identity.namespace } : peer;
};

/** Gathers what the labels need; runs once per distinct series. */
export const describeTraffic = (traffic: Exchange | TcpExchange, options: TrafficOptions): Traffic => {
  const { downstream, upstreamTls } = traffic;
  const { self, grpc, hostHeaderFallback } = options;
  const inbound = downstream.direction === "inbound";
  const told = (traffic.peer as Peer | undefined) ?? (inbound ? undefined : endpointPeer(traffic)) ?? unknownPeer;
  const peerPrincipal = (inbound ? downstream.tls?.peerUris[0] : upstreamTls?.peerUri) ?? "";
  const ownPrincipal = (inbound ? downstream.tls?.localUris[0] : upstreamTls?.localUri) ?? "";
  const peer = withNamespace(told, peerPrincipal);
  const mutual = peerPrincipal !== "" && ownPrincipal !== "";
  return {
    reporter: inbound ? "destination" : "source",
    source: inbound ? peer : self,
    destination: inbound ? self : peer,
    sourcePrincipal: (inbound ? peerPrincipal : ownPrincipal) || "unknown",
    destinationPrincipal: (inbound ? ownPrincipal : peerPrincipal) || "unknown",
    service: serviceOf(traffic, inbound, hostHeaderFallback),
    protocol: isHttp(traffic) ? (grpc ? "grpc" : "http") : "tcp",
    status: isHttp(traffic) ? traffic.response.status : 0,
    grpcStatus: isHttp(traffic) && grpc ? traffic.grpcStatus : -1,
    flags: traffic.flags === "" ? "-" : traffic.flags,
    security: inbound ? (mutual ? "mutual_tls" : "none") : "unknown",
  };
};

const commonLabels = (traffic: Traffic): Labels => {
  const { source, destination, service } = traffic;
  return [
    ["reporter", traffic.reporter],
    ["source_workload", source.workload],
    ["source_canonical_service", source.canonicalService],
    ["source_canonical_revision", source.canonicalRevision],
    ["source_workload_namespace", source.namespace],
    ["source_principal", traffic.sourcePrincipal],
    ["source_app", source.app],
    ["source_version", source.version],
    ["source_cluster", source.cluster],
    ["destination_workload", destination.workload],
    ["destination_workload_namespace", destination.namespace],
    ["destination_principal", traffic.destinationPrincipal],
    ["destination_app", destination.app],
    ["destination_version", destination.version],
    ["destination_service", service.host],
    ["destination_canonical_service", destination.canonicalService],
    ["destination_canonical_revision", destination.canonicalRevision],
    ["destination_service_name", service.name],
    ["destination_service_namespace", service.namespace],
    ["destination_cluster", destination.cluster],
    ["request_protocol", traffic.protocol],
  ];
};

export const requestLabels = (traffic: Traffic): Labels => [
  ...commonLabels(traffic),
  ["response_code", String(traffic.status)],
  ["grpc_response_status", traffic.grpcStatus < 0 ? "" : String(traffic.grpcStatus)],
  ["response_flags", traffic.flags],
  ["connection_security_policy", traffic.security],
];

/** A connection has no response code and no gRPC status. */
export const tcpLabels = (traffic: Traffic): Labels => [
  ...commonLabels(traffic),
  ["response_flags", traffic.flags],
  ["connection_security_policy", traffic.security],
];

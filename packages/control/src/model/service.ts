/** What the model knows of services: records as sources give them, and the services merged from them. */
import { formatAddress } from "@weft/core/address";
import type { Protocol } from "./protocol.ts";

export interface ServicePort {
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
  /** Where the endpoints listen unless they say otherwise. */
  readonly targetPort: number;
}

/** How a proxy learns addresses: from us, by DNS, as the client dialled, or by DNS for each host asked for. */
export type Resolution = "eds" | "strictDns" | "logicalDns" | "passthrough" | "dynamicDns";

/** A service as one source tells it. */
export interface ServiceRecord {
  /** `SOURCE/NAMESPACE/HOSTNAME`. */
  readonly key: string;
  readonly source: string;
  /** Whose ports, addresses and resolution hold where several sources know the service: the lowest rank's. */
  readonly rank: number;
  readonly namespace: string;
  readonly hostname: string;
  /** The short name, which metrics show. */
  readonly name: string;
  readonly ports: readonly ServicePort[];
  /** Virtual addresses, IP or CIDR. */
  readonly addresses: readonly string[];
  readonly resolution: Resolution;
  readonly location: "mesh" | "external";
  readonly headless: boolean;
  readonly exportTo: readonly string[];
  readonly subjectAltNames: readonly string[];
  /** gRPC services spoken there, as `package.Service`. */
  readonly grpcServices: readonly string[];
  /** May be given a virtual address. */
  readonly autoAddress: boolean;
  readonly createdAt: string | undefined;
  /** The configuration object behind it, `KIND/NAMESPACE/NAME`. */
  readonly config: string | undefined;
}

/** A service as the mesh sees it, from all sources. */
export interface Service {
  /** `NAMESPACE/HOSTNAME`. */
  readonly key: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly name: string;
  readonly ports: readonly ServicePort[];
  readonly addresses: readonly string[];
  readonly resolution: Resolution;
  readonly location: "mesh" | "external";
  readonly headless: boolean;
  readonly exportTo: readonly string[];
  readonly grpcServices: readonly string[];
  /** SPIFFE identities a server of this service may have, from its endpoints and `subjectAltNames`; sorted. */
  readonly identities: readonly string[];
  /** Sources that know it, the one whose ports hold first. */
  readonly sources: readonly string[];
  readonly autoAddress: boolean;
  readonly createdAt: string | undefined;
  /** What the sources disagree on, in words. */
  readonly conflicts: readonly string[];
}

/** An address behind one port of a service, as one source tells it. */
export interface EndpointRecord {
  /** `SOURCE/…`, unique over all sources. */
  readonly key: string;
  readonly source: string;
  /** `NAMESPACE/HOSTNAME` of the service. */
  readonly service: string;
  readonly servicePort: number;
  /** IP address, DNS name or `unix://PATH`. */
  readonly address: string;
  readonly port: number;
  /** The port as the workload knows it, which policies name: the application's, where a proxy's port is dialled. */
  readonly workloadPort: number;
  readonly namespace: string;
  readonly workload: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `REGION/ZONE/SUBZONE`, any of them empty. */
  readonly locality: string;
  readonly weight: number;
  readonly health: "healthy" | "draining" | "unhealthy";
  /** Enough of the proxies that check it find it failed. */
  readonly reportedFailed?: true;
  /** It seems gone from its registry, which may be wrong: it is used only where nothing else is. */
  readonly held?: "absent" | "expired";
  readonly network: string;
  readonly cluster: string;
  /** Has a proxy that takes mTLS, unless PeerAuthentication turns that off. */
  readonly meshTls: boolean;
}

/** All endpoints of a service, in the order of their keys, with mTLS as the server's policies leave it. */
export interface ServiceEndpoints {
  readonly key: string;
  readonly endpoints: readonly EndpointRecord[];
}

/** Endpoints of a service that proxies find failed. */
export interface ReportedHealth {
  /** `NAMESPACE/HOSTNAME` of the service. */
  readonly key: string;
  /** As `endpointId` has them; sorted. */
  readonly failed: readonly string[];
}

/** What tells endpoints of one service from each other: `PORT ADDRESS`, the address as proxies report it. */
export const endpointId = (servicePort: number, dialled: string): string => `${servicePort} ${dialled}`;

export const idOfEndpoint = ({
  servicePort,
  address,
  port,
}: Pick<EndpointRecord, "servicePort" | "address" | "port">): string =>
  endpointId(
    servicePort,
    address.startsWith("unix://") ? address.slice("unix://".length) : formatAddress({ host: address, port }),
  );

export const tlsModeLabel = "security.istio.io/tlsMode";

/** Istio's rule: the label says it; without it, a workload with a service account has a proxy. */
export const hasMeshTls = (labels: Readonly<Record<string, string>>, serviceAccount: string): boolean => {
  const declared = labels[tlsModeLabel];
  return declared === undefined ? serviceAccount !== "" : declared === "istio";
};

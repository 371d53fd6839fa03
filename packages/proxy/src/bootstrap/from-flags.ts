/** The bootstrap that `weft sidecar --cp … --name …` means, as a bootstrap file would say it. */
import type { SocketAddress } from "@weft/core/address";
import { toProtoDuration } from "@weft/core/duration";
import type { BootstrapJson } from "@weft/xds/gen/envoy/config/bootstrap/v3/bootstrap";
import { any } from "@weft/xds/resource";

export interface InboundPort {
  readonly name: string;
  readonly protocol: string;
  /** Where the sidecar listens and the mesh dials. */
  readonly address: string;
  readonly port: number;
  /** Where the application listens, on loopback. */
  readonly appPort: number;
}

export interface MeshFlags {
  readonly controlPlane: SocketAddress;
  /** Replicas of it, any of which will do. */
  readonly otherControlPlanes?: readonly SocketAddress[] | undefined;
  readonly rootCertFile: string;
  /** The name the control plane's certificate must bear. */
  readonly serverName: string;
  readonly type: "sidecar" | "router";
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: ReadonlyMap<string, string>;
  /** This workload's address for others; part of the node id. */
  readonly ip: string;
  /** Other addresses of the machine, where connections to them are intercepted. */
  readonly otherIps: readonly string[];
  readonly outbound: SocketAddress | undefined;
  readonly inbound: readonly InboundPort[];
  readonly admin: SocketAddress;
  readonly clusterId: string;
  readonly meshId: string;
  readonly interception: "NONE" | "REDIRECT" | "TPROXY";
  readonly version: string;
  /** Where names are looked up; `undefined`: not here. */
  readonly dns?: SocketAddress | undefined;
  /** Further metadata of the node, such as its workload's name; what flags say wins. */
  readonly metadata?: ReadonlyMap<string, string> | undefined;
}

const controlPlaneCluster = "weft-cp";
const connectTimeoutMs = 5_000;

const formatHostPort = ({ host, port }: SocketAddress): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

/** Node id and metadata as Istio's, and ours beside them. */
export const meshNode = (flags: MeshFlags, admin: SocketAddress): NonNullable<BootstrapJson["node"]> => ({
  id: `${flags.type}~${flags.ip}~${flags.name}.${flags.namespace}~${flags.namespace}.svc.cluster.local`,
  cluster: `${flags.name}.${flags.namespace}`,
  metadata: {
    NAME: flags.name,
    WORKLOAD_NAME: flags.name,
    ...Object.fromEntries(flags.metadata ?? []),
    NAMESPACE: flags.namespace,
    SERVICE_ACCOUNT: flags.serviceAccount,
    LABELS: Object.fromEntries(flags.labels),
    CLUSTER_ID: flags.clusterId,
    MESH_ID: flags.meshId,
    ISTIO_VERSION: "1.31.0-weft",
    WEFT_VERSION: flags.version,
    INTERCEPTION_MODE: flags.interception,
    ...(flags.otherIps.length > 0 ? { INSTANCE_IPS: [flags.ip, ...flags.otherIps].join(",") } : {}),
    WEFT_ADMIN: formatHostPort(admin),
    ...(flags.outbound ? { WEFT_OUTBOUND: formatHostPort(flags.outbound) } : {}),
    ...(flags.dns ? { DNS_CAPTURE: "true", WEFT_DNS: formatHostPort(flags.dns) } : {}),
    WEFT_INBOUND: flags.inbound.map((port) => ({ ...port })),
  },
});

const controlPlanesOf = ({ controlPlane, otherControlPlanes = [] }: MeshFlags): readonly SocketAddress[] => [
  controlPlane,
  ...otherControlPlanes,
];

/** Discovery over TLS with the sidecar's own certificate, which is the named secret `default`. */
export const bootstrapFromFlags = (flags: MeshFlags): BootstrapJson => ({
  node: meshNode(flags, flags.admin),
  admin: { address: { socketAddress: { address: flags.admin.host, portValue: flags.admin.port } } },
  staticResources: {
    clusters: [
      {
        name: controlPlaneCluster,
        type: controlPlanesOf(flags).every(({ host }) => /^[\d.]+$|:/.test(host)) ? "STATIC" : "STRICT_DNS",
        connectTimeout: toProtoDuration(connectTimeoutMs),
        typedExtensionProtocolOptions: {
          "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            { explicitHttpConfig: { http2ProtocolOptions: {} } },
          ),
        },
        transportSocket: {
          name: "envoy.transport_sockets.tls",
          typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
            sni: flags.serverName,
            commonTlsContext: {
              tlsCertificateSdsSecretConfigs: [{ name: "default" }],
              validationContext: { trustedCa: { filename: flags.rootCertFile } },
            },
          }),
        },
        loadAssignment: {
          clusterName: controlPlaneCluster,
          endpoints: [
            {
              lbEndpoints: controlPlanesOf(flags).map(({ host, port }) => ({
                endpoint: { address: { socketAddress: { address: host, portValue: port } } },
              })),
            },
          ],
        },
      },
    ],
  },
  dynamicResources: {
    adsConfig: {
      apiType: "DELTA_GRPC",
      transportApiVersion: "V3",
      setNodeOnFirstMessageOnly: true,
      grpcServices: [{ envoyGrpc: { clusterName: controlPlaneCluster } }],
    },
    ldsConfig: { ads: {}, initialFetchTimeout: "0s", resourceApiVersion: "V3" },
    cdsConfig: { ads: {}, initialFetchTimeout: "0s", resourceApiVersion: "V3" },
  },
});

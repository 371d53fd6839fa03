import type { TestControlPlane } from "./control-plane.ts";
import { startEnvoy, type TestEnvoy } from "./envoy.ts";

/** Who a stock Envoy is in the mesh. */
export interface EnvoyWorkload {
  readonly name: string;
  readonly service: string;
  readonly inbound?: { readonly port: number; readonly appPort: number };
}

export interface MeshEnvoyOptions {
  readonly mode: "GRPC" | "DELTA_GRPC";
  /** Socket of the `weft agent` that has its keys; without one it speaks plaintext only. */
  readonly socket?: string;
  readonly outboundPort: number;
  /** Of its node, beside what it is given anyway. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

const http2 = {
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    explicitHttpConfig: { http2ProtocolOptions: {} },
  },
};
const cluster = (clusterName: string, address: object): object => ({
  name: clusterName,
  type: "STATIC",
  connectTimeout: "2s",
  typedExtensionProtocolOptions: http2,
  loadAssignment: { clusterName, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
});

/** Runs a stock Envoy as a sidecar in explicit mode under a control plane, and waits until it is live. */
export const startMeshEnvoy = async (
  cp: TestControlPlane,
  { name, service, inbound }: EnvoyWorkload,
  { mode, socket, outboundPort, metadata }: MeshEnvoyOptions,
): Promise<TestEnvoy> => {
  const [host, port] = cp.xds.split(":");
  return startEnvoy({
    node: {
      id: `sidecar~127.0.0.1~${name}.default~default.svc.cluster.local`,
      cluster: service,
      metadata: {
        NAMESPACE: "default",
        SERVICE_ACCOUNT: service,
        WORKLOAD_NAME: name,
        LABELS: { app: service },
        INTERCEPTION_MODE: "NONE",
        ...(socket === undefined ? {} : { WEFT_SDS: "sds-grpc" }),
        ...metadata,
        WEFT_OUTBOUND: `127.0.0.1:${outboundPort}`,
        WEFT_INBOUND:
          inbound === undefined
            ? []
            : [{ address: "127.0.0.1", port: inbound.port, appPort: inbound.appPort, protocol: "http", name: "http" }],
      },
    },
    dynamicResources: {
      adsConfig: {
        apiType: mode,
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }],
        setNodeOnFirstMessageOnly: true,
      },
      ldsConfig: { ads: {}, resourceApiVersion: "V3" },
      cdsConfig: { ads: {}, resourceApiVersion: "V3" },
    },
    staticResources: {
      clusters: [
        cluster("xds-grpc", { socketAddress: { address: host, portValue: Number(port) } }),
        ...(socket === undefined ? [] : [cluster("sds-grpc", { pipe: { path: socket } })]),
      ],
    },
  });
};

/** For tests: two sidecars joined by mTLS, a client's and a server's, and what Istio makes of their listeners. */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { any } from "@weft/xds/resource";
import { createTestCa } from "../../identity/testing/test-ca.ts";
import type { ResourceChange } from "../data-plane.ts";
import { cluster, listener, openPlane, routes, type TestPlane, toCluster } from "./test-plane.ts";

export const webUri = "spiffe://cluster.local/ns/default/sa/web";
export const appUri = "spiffe://cluster.local/ns/default/sa/app";

export interface TestMesh extends AsyncDisposable {
  /** The client's sidecar: listener `out`, cluster `outbound`. */
  readonly client: TestPlane;
  /** The server's sidecar: listener `in`, cluster `inbound`. */
  readonly server: TestPlane;
  /** Where the client's application calls. */
  readonly port: number;
}

export interface MeshOptions {
  readonly appPort: number;
  /** What ends the chain of each listener. */
  readonly outFilters: FilterJson[];
  readonly inFilters: FilterJson[];
  /** Of both clusters. */
  readonly upstream?: Partial<ClusterJson>;
  readonly outbound?: Partial<ClusterJson>;
}

const now = Date.now();
const hour = 3_600_000;
const ca = createTestCa(now);

const secretsOf = (uri: string): ResourceChange[] => {
  const { keyPem, chain } = ca.issue({ notBeforeMs: now - hour, notAfterMs: now + hour, uri });
  const tlsCertificate = {
    certificateChain: { inlineString: chain.join("") },
    privateKey: { inlineString: keyPem },
  };
  return [
    { kind: "secret", name: "default", json: { name: "default", tlsCertificate } },
    {
      kind: "secret",
      name: "ROOTCA",
      json: { name: "ROOTCA", validationContext: { trustedCa: { inlineString: ca.rootPem } } },
    },
  ];
};

const sds = (name: string) => ({ name, sdsConfig: { ads: {} } });
const common = (alpnProtocols: string[], defaultValidationContext: object) => ({
  alpnProtocols,
  tlsCertificateSdsSecretConfigs: [sds("default")],
  combinedValidationContext: { defaultValidationContext, validationContextSdsSecretConfig: sds("ROOTCA") },
});
const tlsOf = (kind: string, fields: object) => ({
  name: "envoy.transport_sockets.tls",
  typedConfig: any(`envoy.extensions.transport_sockets.tls.v3.${kind}`, fields),
});

/** The upstream side of mesh TLS, to that identity only. */
export const meshTls = (uri: string) => ({
  transportSocket: tlsOf("UpstreamTlsContext", {
    sni: "outbound_.80_._.app.default.svc.cluster.local",
    commonTlsContext: common(["istio", "h2"], {
      matchTypedSubjectAltNames: [{ sanType: "URI", matcher: { exact: uri } }],
    }),
  }),
});

const nodeOf = (name: string) => ({
  id: `sidecar~127.0.0.1~${name}.default~default.svc.cluster.local`,
  cluster: name,
  metadata: { WORKLOAD_NAME: name, NAMESPACE: "default", LABELS: { app: name, version: "v1" } },
});

/** Opens both sidecars; the server's takes mesh TLS only. */
export const openMesh = async (options: MeshOptions): Promise<TestMesh> => {
  const { appPort, outFilters, inFilters, upstream = {}, outbound = {} } = options;
  const server = openPlane({ node: nodeOf("app") });
  const client = openPlane({ node: nodeOf("web") });
  await server.put(
    ...secretsOf(appUri),
    cluster("inbound", [appPort], upstream),
    routes([toCluster("inbound", { timeout: "0s" })]),
    listener("in", inFilters, {
      trafficDirection: "INBOUND",
      listenerFilters: [
        {
          name: "envoy.filters.listener.tls_inspector",
          typedConfig: any("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", {}),
        },
      ],
      filterChains: [
        {
          name: "mesh",
          filters: inFilters,
          transportSocket: tlsOf("DownstreamTlsContext", {
            requireClientCertificate: true,
            commonTlsContext: common(["istio", "h2"], {}),
          }),
        },
      ],
    }),
  );
  await client.put(
    ...secretsOf(webUri),
    cluster("outbound", [server.portOf("in")], { ...upstream, ...meshTls(appUri), ...outbound }),
    routes([toCluster("outbound", { timeout: "0s" })]),
    listener("out", outFilters, { trafficDirection: "OUTBOUND" }),
  );
  return {
    client,
    server,
    port: client.portOf("out"),
    [Symbol.asyncDispose]: async () => {
      await client.plane.close();
      await server.plane.close();
    },
  };
};

/** The sidecar of the leak run: HTTP in the clear and over TLS, bare TCP, and routes on which things go wrong. */
import { createTestCa } from "@weft/proxy/identity/testing/test-ca";

const extension = (path: string): string => `type.googleapis.com/envoy.extensions.${path}`;
const at = (port: number): object => ({ socketAddress: { address: "127.0.0.1", portValue: port } });
const hour = 3_600_000;

export interface LeakPorts {
  readonly admin: number;
  readonly plain: number;
  readonly tls: number;
  readonly tcp: number;
  readonly nginx: number;
  readonly nginxHttp2: number;
  readonly rude: number;
}

const routes: readonly object[] = [
  // What the application does wrong is tried once more, does it again, and is told to the client.
  {
    match: { prefix: "/wrong" },
    route: { cluster: "rude", timeout: "5s", retryPolicy: { retryOn: "5xx,reset", numRetries: 1 } },
  },
  { match: { prefix: "/late" }, route: { cluster: "rude", timeout: "0.03s" } },
  { match: { prefix: "/rude" }, route: { cluster: "rude", timeout: "5s" } },
  { match: { prefix: "/h2" }, route: { cluster: "http2", timeout: "5s" } },
  { match: { prefix: "/" }, route: { cluster: "http1", timeout: "5s" } },
];

const manager = (statPrefix: string): object => ({
  name: "hcm",
  typedConfig: {
    "@type": extension("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    statPrefix,
    routeConfig: { name: "all", virtualHosts: [{ name: "all", domains: ["*"], routes }] },
    httpFilters: [{ name: "router", typedConfig: { "@type": extension("filters.http.router.v3.Router") } }],
  },
});

const cluster = (name: string, port: number, http2 = false): object => ({
  name,
  type: "STATIC",
  connectTimeout: "2s",
  circuitBreakers: { thresholds: [{ maxConnections: 20_000, maxRequests: 20_000, maxPendingRequests: 20_000 }] },
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": extension("upstreams.http.v3.HttpProtocolOptions"),
      // At rest there is none of them.
      commonHttpProtocolOptions: { idleTimeout: "1s" },
      explicitHttpConfig: http2 ? { http2ProtocolOptions: {} } : { httpProtocolOptions: {} },
    },
  },
  loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address: at(port) } }] }] },
});

const tlsSocket = (): object => {
  const now = Date.now();
  const { keyPem, chain } = createTestCa(now).issue({
    notBeforeMs: now - hour,
    notAfterMs: now + 24 * hour,
    uri: "spiffe://cluster.local/ns/default/sa/leak",
  });
  const certificate = { certificateChain: { inlineString: chain.join("") }, privateKey: { inlineString: keyPem } };
  return {
    name: "tls",
    typedConfig: {
      "@type": extension("transport_sockets.tls.v3.DownstreamTlsContext"),
      commonTlsContext: { alpnProtocols: ["h2", "http/1.1"], tlsCertificates: [certificate] },
    },
  };
};

export const leakBootstrap = (ports: LeakPorts): object => ({
  node: { id: "leak", cluster: "leak" },
  admin: { address: at(ports.admin) },
  staticResources: {
    listeners: [
      { name: "plain", address: at(ports.plain), filterChains: [{ filters: [manager("plain")] }] },
      {
        name: "tls",
        address: at(ports.tls),
        listenerFilters: [
          { name: "tls", typedConfig: { "@type": extension("filters.listener.tls_inspector.v3.TlsInspector") } },
        ],
        filterChains: [{ filters: [manager("tls")], transportSocket: tlsSocket() }],
      },
      {
        name: "tcp",
        address: at(ports.tcp),
        filterChains: [
          {
            filters: [
              {
                name: "tcp",
                typedConfig: {
                  "@type": extension("filters.network.tcp_proxy.v3.TcpProxy"),
                  statPrefix: "tcp",
                  cluster: "http1",
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [cluster("http1", ports.nginx), cluster("http2", ports.nginxHttp2, true), cluster("rude", ports.rude)],
  },
});

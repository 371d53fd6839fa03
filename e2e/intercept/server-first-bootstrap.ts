/** A sidecar whose intercepted ports are all of undeclared protocol: HTTP is marked, everything else passes as it is. */
const type = (name: string): string => `type.googleapis.com/${name}`;
const at = (address: string, port: number) => ({ socketAddress: { address, portValue: port } });

const listenerFilter = (name: string, message: string): object => ({
  name: `envoy.filters.listener.${name}`,
  typedConfig: { "@type": type(`envoy.extensions.filters.listener.${name}.v3.${message}`) },
});

const httpChain = (mark: string, cluster: string): object => ({
  filterChainMatch: { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] },
  filters: [
    {
      name: "envoy.filters.network.http_connection_manager",
      typedConfig: {
        "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        statPrefix: mark,
        routeConfig: {
          name: mark,
          requestHeadersToAdd: [{ header: { key: "x-through", value: mark } }],
          virtualHosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster } }] }],
        },
        httpFilters: [
          {
            name: "envoy.filters.http.router",
            typedConfig: { "@type": type("envoy.extensions.filters.http.router.v3.Router") },
          },
        ],
      },
    },
  ],
});

const listener = (name: string, port: number, [mark, cluster]: readonly [string, string]): object => ({
  name,
  address: at("0.0.0.0", port),
  trafficDirection: mark === "inbound" ? "INBOUND" : "OUTBOUND",
  listenerFilters: [
    listenerFilter("original_dst", "OriginalDst"),
    listenerFilter("tls_inspector", "TlsInspector"),
    listenerFilter("http_inspector", "HttpInspector"),
  ],
  listenerFiltersTimeout: "0s",
  continueOnListenerFiltersTimeout: true,
  filterChains: [httpChain(mark, cluster)],
  defaultFilterChain: {
    filters: [
      {
        name: "envoy.filters.network.tcp_proxy",
        typedConfig: {
          "@type": type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
          statPrefix: mark,
          cluster,
        },
      },
    ],
  },
});

const original = (name: string, rest: object = {}): object => ({
  name,
  type: "ORIGINAL_DST",
  lbPolicy: "CLUSTER_PROVIDED",
  connectTimeout: "2s",
  ...rest,
});

export const serverFirstBootstrap = ({ admin }: { readonly admin: number }): object => ({
  node: { id: "intercepted", cluster: "intercepted" },
  admin: { address: at("127.0.0.1", admin) },
  staticResources: {
    listeners: [
      listener("virtualOutbound", 15001, ["outbound", "original"]),
      listener("virtualInbound", 15006, ["inbound", "inbound"]),
    ],
    clusters: [
      original("original"),
      original("inbound", { upstreamBindConfig: { sourceAddress: { address: "127.0.0.6", portValue: 0 } } }),
    ],
  },
});

/** A sidecar with short timeouts and a small limit on heads, so that clients that dawdle are seen to be dealt with. */
const type = (name: string): string => `type.googleapis.com/${name}`;
const loopback = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });

export const impatientBootstrap = (ports: { http: number; admin: number; app: number }): object => ({
  node: { id: "impatient", cluster: "impatient" },
  admin: { address: loopback(ports.admin) },
  staticResources: {
    listeners: [
      {
        name: "http",
        address: loopback(ports.http),
        listenerFilters: [
          {
            name: "envoy.filters.listener.tls_inspector",
            typedConfig: { "@type": type("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector") },
          },
        ],
        listenerFiltersTimeout: "0.4s",
        filterChains: [
          {
            filters: [
              {
                name: "envoy.filters.network.http_connection_manager",
                typedConfig: {
                  "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                  statPrefix: "http",
                  maxRequestHeadersKb: 8,
                  requestHeadersTimeout: "0.5s",
                  streamIdleTimeout: "0.6s",
                  commonHttpProtocolOptions: { idleTimeout: "0.7s", maxHeadersCount: 50 },
                  routeConfig: {
                    name: "all",
                    virtualHosts: [
                      { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "app" } }] },
                    ],
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
          },
        ],
      },
    ],
    clusters: [
      {
        name: "app",
        type: "STATIC",
        connectTimeout: "1s",
        loadAssignment: {
          clusterName: "app",
          endpoints: [{ lbEndpoints: [{ endpoint: { address: loopback(ports.app) } }] }],
        },
      },
    ],
  },
});

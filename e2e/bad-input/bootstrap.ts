/** A sidecar with short timeouts and a small limit on heads, so that clients that dawdle are seen to be dealt with. */
const type = (name: string): string => `type.googleapis.com/${name}`;
const seconds = (count: number): string => `${count.toFixed(3)}s`;
const loopback = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });

export interface ImpatientPorts {
  readonly http: number;
  readonly admin: number;
  readonly app: number;
}

/** `patience`: how many times as long it waits as it would by itself, half a second. */
export const impatientBootstrap = (ports: ImpatientPorts, patience = 1): object => ({
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
        listenerFiltersTimeout: seconds(0.4 * patience),
        filterChains: [
          {
            filters: [
              {
                name: "envoy.filters.network.http_connection_manager",
                typedConfig: {
                  "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                  statPrefix: "http",
                  maxRequestHeadersKb: 8,
                  requestHeadersTimeout: seconds(0.5 * patience),
                  streamIdleTimeout: seconds(0.6 * patience),
                  commonHttpProtocolOptions: { idleTimeout: seconds(0.7 * patience), maxHeadersCount: 50 },
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

/** The bootstrap both proxies run: routes worth matching, least request over three endpoints, retries. */
interface BootstrapShape {
  readonly listenPort: number;
  readonly adminPort: number;
  readonly upstreams: readonly number[];
  readonly upstreamHttp2?: boolean;
}

const type = (name: string): string => `type.googleapis.com/${name}`;
const tcp = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });

const routes = [
  {
    match: { prefix: "/", headers: [{ name: "end-user", stringMatch: { exact: "tester" } }] },
    route: { cluster: "upstream" },
  },
  { match: { path: "/healthz" }, directResponse: { status: 200 } },
  { match: { prefix: "/api/v2/" }, route: { cluster: "upstream" } },
  { match: { safeRegex: { regex: "/items/[0-9]+" } }, route: { cluster: "upstream" } },
  {
    match: { prefix: "/" },
    route: {
      cluster: "upstream",
      timeout: "15s",
      retryPolicy: { retryOn: "connect-failure,refused-stream,503", numRetries: 2 },
    },
  },
];

export const httpBootstrap = ({ listenPort, adminPort, upstreams, upstreamHttp2 = false }: BootstrapShape): object => ({
  node: { id: "bench", cluster: "bench" },
  admin: { address: tcp(adminPort) },
  staticResources: {
    listeners: [
      {
        name: "bench",
        address: tcp(listenPort),
        filterChains: [
          {
            filters: [
              {
                name: "envoy.filters.network.http_connection_manager",
                typedConfig: {
                  "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                  statPrefix: "bench",
                  routeConfig: {
                    name: "bench",
                    virtualHosts: [
                      { name: "other", domains: ["other.example"], routes },
                      { name: "all", domains: ["*"], routes },
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
        name: "upstream",
        type: "STATIC",
        lbPolicy: "LEAST_REQUEST",
        connectTimeout: "5s",
        loadAssignment: {
          clusterName: "upstream",
          endpoints: [{ lbEndpoints: upstreams.map((port) => ({ endpoint: { address: tcp(port) } })) }],
        },
        ...(upstreamHttp2
          ? {
              typedExtensionProtocolOptions: {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                  "@type": type("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
                  explicitHttpConfig: { http2ProtocolOptions: {} },
                },
              },
            }
          : {}),
      },
    ],
  },
});

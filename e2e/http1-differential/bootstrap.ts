/** One listener and one upstream for each lane: what an upstream reads while a lane runs one case belongs to that case. */
const type = (name: string): string => `type.googleapis.com/${name}`;
const at = (address: string, portValue: number) => ({ socketAddress: { address, portValue } });

export const laneAddress = (lane: number): string => `127.0.1.${lane + 1}`;

const listener = (lane: number, port: number): object => ({
  name: `lane-${lane}`,
  address: at(laneAddress(lane), port),
  filterChains: [
    {
      filters: [
        {
          name: "envoy.filters.network.http_connection_manager",
          typedConfig: {
            "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            statPrefix: "lanes",
            codecType: "HTTP1",
            generateRequestId: false,
            requestHeadersTimeout: "0.6s",
            streamIdleTimeout: "1.5s",
            delayedCloseTimeout: "0.1s",
            commonHttpProtocolOptions: { idleTimeout: "0.8s" },
            httpProtocolOptions: { acceptHttp10: true },
            upgradeConfigs: [{ upgradeType: "websocket" }],
            routeConfig: {
              name: "all",
              virtualHosts: [
                {
                  name: "all",
                  domains: ["*"],
                  routes: [{ match: { prefix: "/" }, route: { cluster: `lane-${lane}`, timeout: "5s" } }],
                },
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
});

const cluster = (lane: number, port: number): object => ({
  name: `lane-${lane}`,
  type: "STATIC",
  connectTimeout: "2s",
  loadAssignment: {
    clusterName: `lane-${lane}`,
    endpoints: [{ lbEndpoints: [{ endpoint: { address: at("127.0.0.1", port) } }] }],
  },
});

export const laneBootstrap = (ports: { http: number; admin: number; upstreams: readonly number[] }): object => ({
  node: { id: "lanes", cluster: "lanes" },
  admin: { address: at("127.0.0.1", ports.admin) },
  staticResources: {
    listeners: ports.upstreams.map((_, lane) => listener(lane, ports.http)),
    clusters: ports.upstreams.map((port, lane) => cluster(lane, port)),
  },
});

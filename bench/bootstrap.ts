/** The bootstrap both proxies run: routes worth matching, least request over three endpoints, retries. */
export interface HttpShape {
  readonly listenPort: number;
  readonly adminPort: number;
  readonly upstreams: readonly number[];
  readonly upstreamHttp2?: boolean;
  /** Transport sockets: what clients speak to it, what it speaks to its upstreams. */
  readonly downstreamTls?: object;
  readonly upstreamTls?: object;
  /** HTTP filters before the router. */
  readonly filters?: readonly object[];
  readonly accessLog?: readonly object[];
  readonly websocket?: boolean;
}

export interface TcpShape {
  readonly listenPort: number;
  readonly adminPort: number;
  readonly upstreams: readonly number[];
}

export const type = (name: string): string => `type.googleapis.com/${name}`;
export const tcpAddress = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });

const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

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

/** The same routes without an end to a response, for streams. */
const streamRoutes = [{ match: { prefix: "/" }, route: { cluster: "upstream", timeout: "0s", idleTimeout: "0s" } }];

/** An HTTP connection manager with the rest of its fields given. */
export const httpManager = (fields: object, filters: readonly object[] = []): object => ({
  name: "envoy.filters.network.http_connection_manager",
  typedConfig: {
    "@type": type(managerType),
    statPrefix: "bench",
    ...fields,
    httpFilters: [
      ...filters,
      {
        name: "envoy.filters.http.router",
        typedConfig: { "@type": type("envoy.extensions.filters.http.router.v3.Router") },
      },
    ],
  },
});

const http2Upstream = {
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": type("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
};

/** The cluster `upstream`: least request over loopback ports. */
export const upstreamCluster = (upstreams: readonly number[], fields: object = {}): object => ({
  name: "upstream",
  type: "STATIC",
  lbPolicy: "LEAST_REQUEST",
  connectTimeout: "5s",
  circuitBreakers: { thresholds: [{ maxConnections: 50_000, maxPendingRequests: 50_000, maxRequests: 50_000 }] },
  loadAssignment: {
    clusterName: "upstream",
    endpoints: [{ lbEndpoints: upstreams.map((port) => ({ endpoint: { address: tcpAddress(port) } })) }],
  },
  ...fields,
});

export const staticBootstrap = (adminPort: number, listeners: readonly object[], clusters: readonly object[]) => ({
  node: { id: "bench", cluster: "bench" },
  admin: { address: tcpAddress(adminPort) },
  staticResources: { listeners, clusters },
});

export const httpBootstrap = (shape: HttpShape): object => {
  const { listenPort, adminPort, upstreams, downstreamTls, upstreamTls, websocket = false } = shape;
  const list = websocket ? streamRoutes : routes;
  const manager = httpManager(
    {
      ...(websocket ? { upgradeConfigs: [{ upgradeType: "websocket" }] } : {}),
      ...(shape.accessLog ? { accessLog: shape.accessLog } : {}),
      routeConfig: {
        name: "bench",
        virtualHosts: [
          { name: "other", domains: ["other.example"], routes: list },
          { name: "all", domains: ["*"], routes: list },
        ],
      },
    },
    shape.filters,
  );
  const chain = { filters: [manager], ...(downstreamTls ? { transportSocket: downstreamTls } : {}) };
  return staticBootstrap(
    adminPort,
    [
      {
        name: "bench",
        address: tcpAddress(listenPort),
        ...(downstreamTls ? { listenerFilters: [tlsInspector] } : {}),
        filterChains: [chain],
      },
    ],
    [
      upstreamCluster(upstreams, {
        ...(upstreamTls ? { transportSocket: upstreamTls } : {}),
        ...(shape.upstreamHttp2 ? http2Upstream : {}),
      }),
    ],
  );
};

const tlsInspector = {
  name: "envoy.filters.listener.tls_inspector",
  typedConfig: { "@type": type("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector") },
};

/** Raw TCP to the upstreams. */
export const tcpBootstrap = ({ listenPort, adminPort, upstreams }: TcpShape): object => {
  const proxy = {
    name: "envoy.filters.network.tcp_proxy",
    typedConfig: {
      "@type": type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
      statPrefix: "bench",
      cluster: "upstream",
    },
  };
  const listener = { name: "bench", address: tcpAddress(listenPort), filterChains: [{ filters: [proxy] }] };
  return staticBootstrap(adminPort, [listener], [upstreamCluster(upstreams)]);
};

/** Istio's request metrics, a filter of weft's own. */
export const istioMetrics = {
  name: "istio.stats",
  typedConfig: {
    "@type": type("udpa.type.v1.TypedStruct"),
    typeUrl: type("stats.PluginConfig"),
    value: {},
  },
};

/** Envoy's default text format, to a file. */
export const fileAccessLog = (path: string) => ({
  name: "envoy.access_loggers.file",
  typedConfig: { "@type": type("envoy.extensions.access_loggers.file.v3.FileAccessLog"), path },
});

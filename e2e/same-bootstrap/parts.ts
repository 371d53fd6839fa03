/** The parts that the bootstraps of these comparisons are put together from. */
export const type = (name: string): string => `type.googleapis.com/envoy.${name}`;
export const tcp = (port: number): object => ({ socketAddress: { address: "127.0.0.1", portValue: port } });
export const prefix = (path: string, rest: object): object => ({ match: { prefix: path }, name: path, ...rest });

const httpFilter = (kind: string, message: string, rest: object = {}): object => ({
  name: `envoy.filters.http.${kind}`,
  typedConfig: { "@type": type(`extensions.filters.http.${kind}.v3.${message}`), ...rest },
});

export const router = httpFilter("router", "Router");
export const fault = httpFilter("fault", "HTTPFault");
export const grpcWeb = httpFilter("grpc_web", "GrpcWeb");
export const denies = (path: string): object =>
  httpFilter("rbac", "RBAC", {
    rules: {
      action: "DENY",
      policies: { secret: { permissions: [{ urlPath: { path: { prefix: path } } }], principals: [{ any: true }] } },
    },
  });
export const faultOf = (rest: object): object => ({
  "envoy.filters.http.fault": { "@type": type("extensions.filters.http.fault.v3.HTTPFault"), ...rest },
});
export const always = { numerator: 100 };

/** What both write of a request, keyed by the client's port. */
const outcome = [
  "%DOWNSTREAM_REMOTE_PORT%",
  "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE%",
  "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS%",
  "%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT%",
  "%UPSTREAM_TRANSPORT_FAILURE_REASON% %ROUTE_NAME% %GRPC_STATUS% %REQUESTED_SERVER_NAME% %FILTER_CHAIN_NAME%",
].join("|");

export const logTo = (path: string): readonly object[] => [
  {
    name: "file",
    typedConfig: {
      "@type": type("extensions.access_loggers.file.v3.FileAccessLog"),
      path,
      logFormat: { textFormatSource: { inlineString: `${outcome}\n` } },
    },
  },
];

export const connectionManager = (rest: object): object => ({
  name: "envoy.filters.network.http_connection_manager",
  typedConfig: {
    "@type": type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
    statPrefix: "http",
    httpFilters: [router],
    ...rest,
  },
});

export const tcpProxy = (rest: object): object => ({
  name: "envoy.filters.network.tcp_proxy",
  typedConfig: { "@type": type("extensions.filters.network.tcp_proxy.v3.TcpProxy"), statPrefix: "tcp", ...rest },
});

export const listener = (name: string, port: number, filter: object, rest: object = {}): object => ({
  name,
  address: tcp(port),
  filterChains: [{ filters: [filter] }],
  ...rest,
});

export const routes = (list: readonly object[], rest: object = {}): object => ({
  name: "local",
  validateClusters: false,
  virtualHosts: [{ name: "all", domains: ["*"], routes: list, ...rest }],
});

export const cluster = (name: string, ports: readonly number[], rest: object = {}): object => ({
  name,
  type: "STATIC",
  connectTimeout: "1s",
  loadAssignment: {
    clusterName: name,
    endpoints: ports.length === 0 ? [] : [{ lbEndpoints: ports.map((port) => ({ endpoint: { address: tcp(port) } })) }],
  },
  ...rest,
});

export const speaksHttp2 = {
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": type("extensions.upstreams.http.v3.HttpProtocolOptions"),
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
};

/** The bootstrap that both proxies run in the differential test: every route action, retries, limits, RBAC, faults. */
const type = (name: string): string => `type.googleapis.com/${name}`;
const tcp = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });
const prefix = (path: string, rest: object): object => ({ match: { prefix: path }, ...rest });

export interface SharedBootstrapPorts {
  readonly http: number;
  readonly tcp: number;
  readonly admin: number;
  readonly upstreams: readonly [number, number];
  /** A port nothing listens on. */
  readonly closed: number;
  /** The upstreams speak HTTP/2. */
  readonly upstreamHttp2?: boolean;
}

const routes = [
  {
    match: { path: "/exact" },
    route: { cluster: "one" },
    requestHeadersToAdd: [{ header: { key: "x-added", value: "by-route" } }],
  },
  prefix("/rewrite/", { route: { cluster: "one", prefixRewrite: "/rewritten/" } }),
  {
    match: { safeRegex: { regex: "/items/[0-9]+" } },
    route: { cluster: "one", regexRewrite: { pattern: { regex: "/items/([0-9]+)" }, substitution: "/thing-\\1" } },
  },
  prefix("/host-rewrite", { route: { cluster: "one", hostRewriteLiteral: "other.example" } }),
  prefix("/redirect-host", { redirect: { hostRedirect: "new.example", httpsRedirect: true } }),
  prefix("/redirect-path", { redirect: { pathRedirect: "/elsewhere", responseCode: "TEMPORARY_REDIRECT" } }),
  prefix("/redirect-prefix", { redirect: { prefixRewrite: "/moved", stripQuery: true, responseCode: "FOUND" } }),
  prefix("/direct", {
    directResponse: { status: 418, body: { inlineString: "short and stout" } },
    responseHeadersToAdd: [{ header: { key: "x-direct", value: "yes" } }],
  }),
  {
    match: { prefix: "/by-header", headers: [{ name: "x-kind", stringMatch: { exact: "two" } }] },
    route: { cluster: "two" },
  },
  {
    match: { prefix: "/by-header", headers: [{ name: "x-kind", presentMatch: true, invertMatch: true }] },
    route: { cluster: "one" },
  },
  {
    match: { prefix: "/by-query", queryParameters: [{ name: "v", stringMatch: { prefix: "2" } }] },
    route: { cluster: "two" },
  },
  prefix("/by-query", { route: { cluster: "one" } }),
  { match: { pathSeparatedPrefix: "/separated" }, route: { cluster: "two" } },
  { match: { prefix: "/CASE", caseSensitive: false }, route: { cluster: "two" } },
  prefix("/no-cluster", { route: { cluster: "missing" } }),
  prefix("/no-cluster-404", { route: { cluster: "missing", clusterNotFoundResponseCode: "NOT_FOUND" } }),
  prefix("/empty", { route: { cluster: "empty" } }),
  prefix("/refused", { route: { cluster: "refused" } }),
  prefix("/flaky", {
    route: {
      cluster: "flaky",
      retryPolicy: { retryOn: "5xx", numRetries: 3, retryBackOff: { baseInterval: "0.001s" } },
    },
  }),
  prefix("/status/503", {
    route: {
      cluster: "one",
      retryPolicy: {
        retryOn: "retriable-status-codes",
        retriableStatusCodes: [503],
        numRetries: 1,
        retryBackOff: { baseInterval: "0.001s" },
      },
    },
  }),
  prefix("/hang", { route: { cluster: "one", timeout: "0.3s" } }),
  prefix("/zero-weight", {
    route: {
      weightedClusters: {
        clusters: [
          { name: "one", weight: 0 },
          { name: "two", weight: 100 },
        ],
      },
    },
  }),
  prefix("/remove", {
    route: { cluster: "one" },
    requestHeadersToRemove: ["x-secret"],
    responseHeadersToRemove: ["x-powered-by"],
  }),
  prefix("/abort", {
    route: { cluster: "one" },
    typedPerFilterConfig: {
      "envoy.filters.http.fault": {
        "@type": type("envoy.extensions.filters.http.fault.v3.HTTPFault"),
        abort: { httpStatus: 555, percentage: { numerator: 100 } },
      },
    },
  }),
  prefix("/formats", {
    route: { cluster: "one" },
    requestHeadersToAdd: [
      { header: { key: "x-path", value: "%REQ(:PATH)%" } },
      { header: { key: "x-agent", value: "%REQ(X-NOT-THERE?USER-AGENT)%" } },
      { header: { key: "x-protocol", value: "%PROTOCOL%" } },
    ],
    responseHeadersToAdd: [
      { header: { key: "x-status", value: "%RESPONSE_CODE%" }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" },
    ],
  }),
  prefix("/", { route: { cluster: "one" } }),
];

const rbac = {
  "@type": type("envoy.extensions.filters.http.rbac.v3.RBAC"),
  rules: {
    action: "DENY",
    policies: {
      secret: {
        permissions: [
          { urlPath: { path: { prefix: "/forbidden" } } },
          {
            andRules: {
              rules: [
                { header: { name: ":method", stringMatch: { exact: "DELETE" } } },
                { urlPath: { path: { prefix: "/protected" } } },
              ],
            },
          },
        ],
        principals: [{ any: true }],
      },
    },
  },
};

const cluster = (name: string, ports: readonly number[], rest: object = {}): object => ({
  name,
  type: "STATIC",
  connectTimeout: "1s",
  loadAssignment: {
    clusterName: name,
    endpoints: ports.length === 0 ? [] : [{ lbEndpoints: ports.map((port) => ({ endpoint: { address: tcp(port) } })) }],
  },
  ...rest,
});

const speaksHttp2 = {
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": type("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
};

export const sharedBootstrap = ({
  http,
  tcp: tcpPort,
  admin,
  upstreams: [one, two],
  closed,
  upstreamHttp2 = false,
}: SharedBootstrapPorts): object => ({
  node: { id: "same", cluster: "same" },
  admin: { address: tcp(admin) },
  staticResources: {
    listeners: [
      {
        name: "http",
        address: tcp(http),
        filterChains: [
          {
            filters: [
              {
                name: "envoy.filters.network.http_connection_manager",
                typedConfig: {
                  "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                  statPrefix: "http",
                  normalizePath: true,
                  mergeSlashes: true,
                  stripAnyHostPort: false,
                  routeConfig: {
                    name: "local",
                    ignorePortInHostMatching: true,
                    validateClusters: false,
                    virtualHosts: [
                      {
                        name: "two",
                        domains: ["two.example", "*.two.example"],
                        routes: [prefix("/", { route: { cluster: "two" } })],
                      },
                      {
                        name: "none",
                        domains: ["none.example"],
                        routes: [{ match: { path: "/only" }, route: { cluster: "one" } }],
                      },
                      { name: "all", domains: ["*"], routes, includeRequestAttemptCount: true },
                    ],
                  },
                  httpFilters: [
                    { name: "envoy.filters.http.rbac", typedConfig: rbac },
                    {
                      name: "envoy.filters.http.fault",
                      typedConfig: { "@type": type("envoy.extensions.filters.http.fault.v3.HTTPFault") },
                    },
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
      {
        name: "tcp",
        address: tcp(tcpPort),
        filterChains: [
          {
            filters: [
              {
                name: "envoy.filters.network.tcp_proxy",
                typedConfig: {
                  "@type": type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
                  statPrefix: "tcp",
                  cluster: "one",
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [
      cluster("one", [one], upstreamHttp2 ? speaksHttp2 : {}),
      cluster("two", [two], upstreamHttp2 ? speaksHttp2 : {}),
      cluster("flaky", [one], upstreamHttp2 ? speaksHttp2 : {}),
      cluster("empty", []),
      cluster("refused", [closed], upstreamHttp2 ? speaksHttp2 : {}),
    ],
  },
});

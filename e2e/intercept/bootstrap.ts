/** A sidecar's bootstrap as interception needs it, without a control plane: everything goes on to where it was going, marked. */
const type = (name: string): string => `type.googleapis.com/${name}`;
const at = (address: string, port: number) => ({ socketAddress: { address, portValue: port } });

const markedBy = (mark: string, cluster: string): object => ({
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

const listener = (
  name: string,
  port: number,
  chains: readonly object[],
  listenerFilters: readonly object[] = [],
): object => ({
  name,
  address: at("0.0.0.0", port),
  additionalAddresses: [{ address: at("::", port) }],
  useOriginalDst: true,
  listenerFilters: [
    {
      name: "envoy.filters.listener.original_dst",
      typedConfig: { "@type": type("envoy.extensions.filters.listener.original_dst.v3.OriginalDst") },
    },
    ...listenerFilters,
  ],
  filterChains: chains,
});

const original = (name: string, rest: object = {}): object => ({
  name,
  type: "ORIGINAL_DST",
  lbPolicy: "CLUSTER_PROVIDED",
  connectTimeout: "2s",
  ...rest,
});

export interface InterceptBootstrap {
  readonly admin: number;
  readonly tcpPort: number;
  /** The inbound listener takes connections as they were sent. */
  readonly transparent?: boolean;
  /** It passes them on from where they came, with this mark. */
  readonly originalSourceMark?: number;
}

const originalSource = (mark: number): object => ({
  name: "envoy.filters.listener.original_src",
  typedConfig: { "@type": type("envoy.extensions.filters.listener.original_src.v3.OriginalSrc"), mark },
});

export const interceptBootstrap = ({
  admin,
  tcpPort,
  transparent = false,
  originalSourceMark,
}: InterceptBootstrap): object => ({
  node: { id: "intercepted", cluster: "intercepted" },
  admin: { address: at("127.0.0.1", admin) },
  staticResources: {
    listeners: [
      {
        ...listener("virtualOutbound", 15001, [
          {
            filterChainMatch: { destinationPort: tcpPort },
            filters: [
              {
                name: "envoy.filters.network.tcp_proxy",
                typedConfig: {
                  "@type": type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
                  statPrefix: "tcp",
                  cluster: "original",
                },
              },
            ],
          },
          markedBy("outbound", "original"),
        ]),
        trafficDirection: "OUTBOUND",
      },
      {
        ...listener(
          "virtualInbound",
          15006,
          [
            {
              filterChainMatch: { prefixRanges: [{ addressPrefix: "::", prefixLen: 0 }] },
              ...markedBy("inbound6", "inbound6"),
            },
            markedBy("inbound", "inbound"),
          ],
          originalSourceMark === undefined ? [] : [originalSource(originalSourceMark)],
        ),
        trafficDirection: "INBOUND",
        transparent,
      },
    ],
    clusters: [
      original("original"),
      original("inbound", { upstreamBindConfig: { sourceAddress: { address: "127.0.0.6", portValue: 0 } } }),
      original("inbound6", { upstreamBindConfig: { sourceAddress: { address: "::6", portValue: 0 } } }),
    ],
  },
});

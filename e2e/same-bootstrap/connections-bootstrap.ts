/** A bootstrap of filter chains, TLS settings and TCP proxies. */
import type { BootstrapPorts } from "./pair.ts";
import { cluster, connectionManager, listener, prefix, routes, tcp, tcpProxy, type } from "./parts.ts";

export interface Certificates {
  readonly key: string;
  readonly cert: string;
  readonly root: string;
}

export interface ConnectionPorts {
  readonly tcp: number;
  readonly closed: number;
}

/** An answer that names the chain. */
const says = (body: string): object =>
  connectionManager({
    routeConfig: routes([prefix("/", { directResponse: { status: 200, body: { inlineString: body } } })]),
  });

const transport = (certificates: Certificates, rest: object = {}, common: object = {}): object => ({
  name: "envoy.transport_sockets.tls",
  typedConfig: {
    "@type": type("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
    commonTlsContext: {
      tlsCertificates: [
        { certificateChain: { inlineString: certificates.cert }, privateKey: { inlineString: certificates.key } },
      ],
      alpnProtocols: ["h2", "http/1.1"],
      ...common,
    },
    ...rest,
  },
});

const listenerFilter = (name: string, message: string): object => ({
  name: `envoy.filters.listener.${name}`,
  typedConfig: { "@type": type(`extensions.filters.listener.${name}.v3.${message}`) },
});
const tlsInspector = listenerFilter("tls_inspector", "TlsInspector");
const proxyProtocol = listenerFilter("proxy_protocol", "ProxyProtocol");
const range = (addressPrefix: string, prefixLen: number): object => ({ addressPrefix, prefixLen });

const chain = (name: string, filterChainMatch: object, certificates: Certificates | undefined): object => ({
  name,
  filterChainMatch,
  filters: [says(name)],
  ...(certificates === undefined ? {} : { transportSocket: transport(certificates) }),
});

const chains = (certificates: Certificates): readonly object[] => [
  chain("any tls", { transportProtocol: "tls" }, certificates),
  chain("plain", { transportProtocol: "raw_buffer" }, undefined),
  chain("exact", { serverNames: ["a.example"] }, certificates),
  chain("exact and h2", { serverNames: ["a.example"], applicationProtocols: ["h2"] }, certificates),
  chain("suffix", { serverNames: ["*.example"] }, certificates),
  chain("longer suffix", { serverNames: ["*.deep.example"] }, certificates),
  chain("source", { transportProtocol: "tls", sourcePrefixRanges: [range("127.0.0.2", 32)] }, certificates),
  chain("source net", { transportProtocol: "tls", sourcePrefixRanges: [range("127.0.0.0", 28)] }, certificates),
  chain("from a far net", { sourcePrefixRanges: [range("10.0.0.0", 8)] }, undefined),
  chain("to a port", { destinationPort: 8443 }, undefined),
  chain("to a port, by name", { destinationPort: 8443, serverNames: ["a.example"] }, certificates),
  chain("to a net", { prefixRanges: [range("10.9.0.0", 16)] }, undefined),
  chain("to a smaller net", { prefixRanges: [range("10.9.8.0", 24)] }, undefined),
];

const tlsListener = (name: string, port: number, tls: object): object => ({
  ...listener(name, port, says(name)),
  filterChains: [{ filters: [says(name)], transportSocket: tls }],
});

export const connectionListeners = [
  "chains",
  "named",
  "client",
  "asked",
  "new",
  "old",
  "weighted",
  "idle",
  "lasting",
  "plain",
  "refused",
  "empty",
  "nowhere",
  "accepts",
  "sends1",
  "sends2",
] as const;

const upstreamProxyProtocol = (version: string): object => ({
  transportSocket: {
    name: "envoy.transport_sockets.upstream_proxy_protocol",
    typedConfig: {
      "@type": type("extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"),
      config: { version },
      transportSocket: {
        name: "envoy.transport_sockets.raw_buffer",
        typedConfig: { "@type": type("extensions.transport_sockets.raw_buffer.v3.RawBuffer") },
      },
    },
  },
});

export const connectionsBootstrap = (
  { listener: port, admin }: BootstrapPorts,
  { tcp: tcpPort, closed }: ConnectionPorts,
  certificates: Certificates,
): object => {
  const trust = { validationContext: { trustedCa: { inlineString: certificates.root } } };
  const versions = (least: string, most: string): object => ({
    tlsParams: { tlsMinimumProtocolVersion: least, tlsMaximumProtocolVersion: most },
  });
  const through = (name: string, rest: object): object => listener(name, port(name), tcpProxy(rest));
  const secured = (name: string, tls: object): object => tlsListener(name, port(name), tls);
  return {
    node: { id: "same", cluster: "same" },
    admin: { address: tcp(admin) },
    staticResources: {
      listeners: [
        {
          name: "chains",
          address: tcp(port("chains")),
          listenerFilters: [proxyProtocol, tlsInspector],
          filterChains: chains(certificates),
        },
        {
          name: "named",
          address: tcp(port("named")),
          listenerFilters: [tlsInspector],
          filterChains: [chain("exact", { serverNames: ["a.example"] }, certificates)],
        },
        secured("client", transport(certificates, { requireClientCertificate: true }, trust)),
        secured("asked", transport(certificates, {}, trust)),
        secured("new", transport(certificates, {}, versions("TLSv1_3", "TLSv1_3"))),
        secured("old", transport(certificates, {}, versions("TLSv1_2", "TLSv1_2"))),
        through("weighted", {
          weightedClusters: {
            clusters: [
              { name: "refused", weight: 1 },
              { name: "tcp", weight: 1_000_000_000 },
            ],
          },
        }),
        through("idle", { cluster: "tcp", idleTimeout: "0.3s" }),
        through("lasting", { cluster: "tcp", maxDownstreamConnectionDuration: "0.3s" }),
        through("plain", { cluster: "tcp" }),
        through("refused", { cluster: "refused" }),
        through("empty", { cluster: "empty" }),
        through("nowhere", { cluster: "nowhere" }),
        { ...through("accepts", { cluster: "tcp" }), listenerFilters: [proxyProtocol] },
        { ...through("sends1", { cluster: "sends1" }), listenerFilters: [proxyProtocol] },
        { ...through("sends2", { cluster: "sends2" }), listenerFilters: [proxyProtocol] },
      ],
      clusters: [
        cluster("tcp", [tcpPort]),
        cluster("refused", [closed]),
        cluster("empty", []),
        cluster("sends1", [tcpPort], upstreamProxyProtocol("V1")),
        cluster("sends2", [tcpPort], upstreamProxyProtocol("V2")),
      ],
    },
  };
};

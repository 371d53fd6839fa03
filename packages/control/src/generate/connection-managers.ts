/** Network filters that end a chain: the HTTP connection manager and the TCP proxy, with Istio's settings. */
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { HttpConnectionManagerJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { TcpProxyJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { any } from "@weft/xds/resource";
import type { MeshSettings, PathNormalization } from "../model/mesh-settings.ts";
import { accessLog } from "./access-logs.ts";
import { type FilterOptions, httpFilters, tcpStats } from "./http-filters.ts";
import type { TcpOptions } from "./tcp-options.ts";
import { fromAds } from "./tls-contexts.ts";

export interface HttpChain extends FilterOptions {
  readonly mesh: MeshSettings;
  readonly statPrefix: string;
  /** A table by name over RDS, or in place. */
  readonly routes: { readonly rds: string } | RouteConfigurationJson;
  /** CONNECT ends here, for tunnels to TCP services. */
  readonly connect?: boolean;
}

const placeOfRoutes = (routes: HttpChain["routes"]): HttpConnectionManagerJson =>
  "rds" in routes ? { rds: { configSource: fromAds, routeConfigName: routes.rds } } : { routeConfig: routes };

const directionSettings = ({ direction, mesh }: HttpChain): HttpConnectionManagerJson => {
  if (direction === "outbound") return { useRemoteAddress: false };
  if (direction === "gateway") {
    return {
      useRemoteAddress: true,
      forwardClientCertDetails: "SANITIZE_SET",
      setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true },
      ...(mesh.numTrustedProxies > 0 ? { xffNumTrustedHops: mesh.numTrustedProxies } : {}),
      serverName: "istio-envoy",
    };
  }
  return {
    useRemoteAddress: false,
    forwardClientCertDetails: "APPEND_FORWARD",
    setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
    serverName: "istio-envoy",
  };
};

/** Each level does what those before it do. */
const pathOptions = (level: PathNormalization): HttpConnectionManagerJson => {
  if (level === "NONE") return { normalizePath: false };
  return {
    normalizePath: true,
    ...(level === "BASE" ? {} : { mergeSlashes: true }),
    ...(level === "DECODE_AND_MERGE_SLASHES" ? { pathWithEscapedSlashesAction: "UNESCAPE_AND_FORWARD" as const } : {}),
  };
};

export const httpConnectionManager = (chain: HttpChain): FilterJson => {
  const log = accessLog(chain.mesh);
  const config: HttpConnectionManagerJson = {
    statPrefix: chain.statPrefix,
    codecType: "AUTO",
    ...placeOfRoutes(chain.routes),
    httpFilters: httpFilters(chain, chain.mesh.defaults),
    ...directionSettings(chain),
    ...(log.length > 0 ? { accessLog: log } : {}),
    streamIdleTimeout: "0s",
    ...pathOptions(chain.mesh.pathNormalization),
    proxy100Continue: true,
    upgradeConfigs: [{ upgradeType: "websocket" }, ...(chain.connect ? [{ upgradeType: "CONNECT" }] : [])],
    ...(chain.connect ? { http2ProtocolOptions: { allowConnect: true } } : {}),
  };
  return {
    name: "envoy.filters.network.http_connection_manager",
    typedConfig: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", config),
  };
};

export interface TcpChain {
  readonly mesh: MeshSettings;
  readonly statPrefix: string;
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  readonly direction: FilterOptions["direction"];
  readonly native: boolean;
  /** The port of a service whose hosts are looked up by the server name asked for. */
  readonly byServerName?: { readonly port: number; readonly cache: object } | undefined;
  /** What DestinationRules of the clusters say. */
  readonly options?: TcpOptions;
  readonly rbac?: readonly FilterJson[];
}

const serverNameFilter = ({ port, cache }: NonNullable<TcpChain["byServerName"]>): FilterJson => ({
  name: "envoy.filters.network.sni_dynamic_forward_proxy",
  typedConfig: any("envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig", {
    portValue: port,
    dnsCacheConfig: cache,
  }),
});

/** The filters of a chain that carries bytes. */
export const tcpFilters = (chain: TcpChain): FilterJson[] => {
  const log = accessLog(chain.mesh);
  const [only, more] = chain.clusters;
  const target: TcpProxyJson =
    only && !more
      ? { cluster: only.name }
      : { weightedClusters: { clusters: chain.clusters.map(({ name, weight }) => ({ name, weight })) } };
  return [
    ...(chain.rbac ?? []),
    ...(chain.native ? [tcpStats(chain.direction)] : []),
    ...(chain.byServerName ? [serverNameFilter(chain.byServerName)] : []),
    {
      name: "envoy.filters.network.tcp_proxy",
      typedConfig: any("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", {
        statPrefix: chain.statPrefix,
        ...target,
        ...chain.options,
        ...(log.length > 0 ? { accessLog: log } : {}),
      }),
    },
  ];
};

export const tlsInspector = {
  name: "envoy.filters.listener.tls_inspector",
  typedConfig: any("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", { initialReadBufferSize: 512 }),
};
export const httpInspector = {
  name: "envoy.filters.listener.http_inspector",
  typedConfig: any("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector", {}),
};
export const originalDst = {
  name: "envoy.filters.listener.original_dst",
  typedConfig: any("envoy.extensions.filters.listener.original_dst.v3.OriginalDst", {}),
};

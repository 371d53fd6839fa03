/** HTTP and network filters in Istio's order. Istio's own are for our sidecar only: stock Envoy does not have them. */
import { toProtoDuration } from "@weft/core/duration";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { AdaptiveConcurrencyJson } from "@weft/xds/gen/envoy/extensions/filters/http/adaptive_concurrency/v3/adaptive_concurrency";
import type { HttpFilterJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { StatusCode, type StatusCodeJson } from "@weft/xds/gen/envoy/type/v3/http_status";
import { any } from "@weft/xds/resource";
import type { MeshDefaults } from "../model/mesh-defaults.ts";

export type Direction = "outbound" | "inbound" | "gateway";

const filter = (name: string, message: string, config: object = {}): HttpFilterJson => ({
  name,
  typedConfig: any(message, config),
});

const peerMetadata = (direction: Direction): HttpFilterJson =>
  filter(
    "istio.metadata_exchange",
    "io.istio.http.peer_metadata.Config",
    direction === "inbound"
      ? {
          downstreamDiscovery: [{ istioHeaders: {} }, { workloadDiscovery: {} }],
          downstreamPropagation: [{ istioHeaders: {} }],
        }
      : {
          upstreamDiscovery: [{ istioHeaders: {} }, { workloadDiscovery: {} }],
          upstreamPropagation: [{ istioHeaders: { skipExternalClusters: true } }],
        },
  );

/** Tells the server by ALPN that HTTP comes, so that its HTTP filter chain takes it. */
const alpn = filter("istio.alpn", "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", {
  alpnOverride: [
    { upstreamProtocol: "HTTP10", alpnOverride: ["istio-http/1.0", "istio", "http/1.0"] },
    { upstreamProtocol: "HTTP11", alpnOverride: ["istio-http/1.1", "istio", "http/1.1"] },
    { upstreamProtocol: "HTTP2", alpnOverride: ["istio-h2", "istio", "h2"] },
  ],
});

/** Only a client may take a service's name from the Host header: at a server it would be the client's word. */
const statsConfig = (direction: Direction): object =>
  direction === "outbound" ? {} : { disableHostHeaderFallback: true };

const stats = (direction: Direction): HttpFilterJson =>
  filter("istio.stats", "stats.PluginConfig", statsConfig(direction));

const grpcStats = filter("envoy.filters.http.grpc_stats", "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", {
  emitFilterState: true,
  statsForAllMethods: false,
});
const grpcWeb = filter("envoy.filters.http.grpc_web", "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb");
const fault = filter("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault");
const cors = filter("envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors");
export const router = filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router");

/** Tells callers why the proxy answered; the first, so that it sees answers of all filters after it. */
const reasonFilter = ({ direction, ownCallers }: FilterOptions, to: MeshDefaults["reasonHeader"]): HttpFilterJson[] => {
  if (to === "on" || (to === "mesh" && direction === "outbound" && ownCallers)) return [{ name: "weft.reason" }];
  if (to === "mesh" && direction === "inbound") return [{ name: "weft.reason.peers" }];
  return to === "mesh" ? [{ name: "weft.reason.none" }] : [];
};

/** Tells hops apart that a failure passes through, so that only the last of them repeats it. */
const retriesFilter = ({ direction }: FilterOptions, { profile }: MeshDefaults): HttpFilterJson[] =>
  profile === "weft" ? [{ name: `weft.retries.${direction === "inbound" ? "inbound" : "outbound"}` }] : [];

export interface FilterOptions {
  readonly direction: Direction;
  readonly native: boolean;
  /** The route table may get its virtual hosts as requests name them: in a large mesh, or when the mesh becomes one. */
  readonly onDemand?: boolean;
  readonly grpcWeb?: boolean;
  /** Nobody but the proxy's own workload can call here. */
  readonly ownCallers?: boolean;
  /** Authorization, in the order it is decided. */
  readonly rbac?: readonly HttpFilterJson[];
  /** What turns requests away that are too many, after authorization. */
  readonly limits?: readonly HttpFilterJson[] | undefined;
}

/** Time between measurements of the best latency: for as long only the least limit is allowed. */
const measureEvery = "60s";
const measureRequests = 25;

const concurrencyFilter = (
  { direction }: FilterOptions,
  given: MeshDefaults["adaptiveConcurrency"],
): HttpFilterJson[] => {
  if (!given || direction !== "inbound") return [];
  const config: AdaptiveConcurrencyJson = {
    gradientControllerConfig: {
      concurrencyLimitParams: {
        maxConcurrencyLimit: given.maxLimit,
        concurrencyUpdateInterval: toProtoDuration(given.intervalMs),
      },
      minRttCalcParams: {
        interval: measureEvery,
        requestCount: measureRequests,
        minConcurrency: given.minLimit,
        buffer: { value: Math.min(100, Math.round((given.tolerance - 1) * 100)) },
      },
    },
    concurrencyLimitExceededStatus: { code: statusName(given.status) },
  };
  const message = "envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency";
  return [filter("envoy.filters.http.adaptive_concurrency", message, config)];
};

/** Envoy answers only with statuses it has names for. */
const statusName = (status: number): StatusCodeJson =>
  (StatusCode[status] ?? StatusCode[StatusCode.ServiceUnavailable]) as StatusCodeJson;

export const httpFilters = (options: FilterOptions, defaults: MeshDefaults): HttpFilterJson[] => {
  const { direction, native } = options;
  const { reasonHeader, adaptiveConcurrency } = defaults;
  const asks: HttpFilterJson[] = options.onDemand ? [{ name: "weft.on_demand" }] : [];
  const ours = native ? [...reasonFilter(options, reasonHeader), ...asks, ...retriesFilter(options, defaults)] : [];
  return [
    ...(native ? [...ours, peerMetadata(direction)] : []),
    ...(options.rbac ?? []),
    ...(options.limits ?? []),
    ...concurrencyFilter(options, adaptiveConcurrency),
    ...(options.grpcWeb ? [grpcWeb] : []),
    grpcStats,
    ...(native && direction !== "inbound" ? [alpn] : []),
    fault,
    cors,
    ...(native ? [stats(direction)] : []),
    router,
  ];
};

/** The TCP form of the metrics filter. */
export const tcpStats = (direction: Direction): FilterJson => ({
  name: "istio.stats",
  typedConfig: any("stats.PluginConfig", statsConfig(direction)),
});

/** A DestinationRule's policy for one port and subset, and what it makes of a cluster. */
import type {
  ClientTlsSettings,
  ConnectionPoolSettings,
  LoadBalancerSettings,
  OutlierDetection,
  TrafficPolicy,
} from "@weft/config/kinds/destination-rule";
import { parseGoDuration, toProtoDuration } from "@weft/core/duration";
import type { CircuitBreakersJson } from "@weft/xds/gen/envoy/config/cluster/v3/circuit_breaker";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { OutlierDetectionJson } from "@weft/xds/gen/envoy/config/cluster/v3/outlier_detection";
import type { HttpProtocolOptionsJson } from "@weft/xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { any } from "@weft/xds/resource";
import { isHttp, isHttp2, type Protocol } from "../model/protocol.ts";
import type { DestinationPolicy } from "../model/traffic-rules.ts";

export interface PolicyBlocks {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly connectionPool?: ConnectionPoolSettings;
  readonly outlierDetection?: OutlierDetection;
  readonly tls?: ClientTlsSettings;
  readonly retryBudget?: NonNullable<TrafficPolicy["retryBudget"]>;
}

/** A port's settings stand instead of all blocks around them; a subset's blocks override one by one. */
const atPort = (policy: TrafficPolicy | undefined, port: number): PolicyBlocks =>
  policy?.portLevelSettings?.find((settings) => settings.port?.number === port) ?? policy ?? {};

export const policyFor = (policy: DestinationPolicy | undefined, port: number, subset = ""): PolicyBlocks => {
  if (!policy) return {};
  const around = atPort(policy.trafficPolicy, port);
  const own = subset === "" ? undefined : policy.subsets.find(({ name }) => name === subset)?.trafficPolicy;
  return own ? { ...around, ...atPort(own, port) } : around;
};

/** Proto JSON of a Go duration that validation has accepted. */
export const duration = (text: string): string => toProtoDuration(parseGoDuration(text) ?? 0);

const unlimited = 4_294_967_295;

/** Istio reads 0 as "not set" in every limit. */
const limit = (value: number | undefined): number => value || unlimited;

export const circuitBreakers = ({ connectionPool, retryBudget }: PolicyBlocks): CircuitBreakersJson => ({
  thresholds: [
    {
      maxConnections: limit(connectionPool?.tcp?.maxConnections),
      maxPendingRequests: limit(connectionPool?.http?.http1MaxPendingRequests),
      maxRequests: limit(connectionPool?.http?.http2MaxRequests),
      maxRetries: limit(connectionPool?.http?.maxRetries),
      trackRemaining: true,
      ...(retryBudget
        ? {
            retryBudget: {
              budgetPercent: { value: retryBudget.percent ?? 20 },
              minRetryConcurrency: retryBudget.minRetryConcurrency ?? 3,
            },
          }
        : {}),
    },
  ],
});

export const outlierDetectionJson = (outlier: OutlierDetection): OutlierDetectionJson => {
  const consecutive5xx = outlier.consecutive5xxErrors;
  const gateway = outlier.consecutiveGatewayErrors;
  return {
    ...(consecutive5xx === undefined ? {} : { consecutive5xx, enforcingConsecutive5xx: consecutive5xx > 0 ? 100 : 0 }),
    ...(gateway === undefined
      ? {}
      : { consecutiveGatewayFailure: gateway, enforcingConsecutiveGatewayFailure: gateway > 0 ? 100 : 0 }),
    ...(outlier.interval === undefined ? {} : { interval: duration(outlier.interval) }),
    ...(outlier.baseEjectionTime === undefined ? {} : { baseEjectionTime: duration(outlier.baseEjectionTime) }),
    ...(outlier.maxEjectionPercent ? { maxEjectionPercent: outlier.maxEjectionPercent } : {}),
    ...(outlier.splitExternalLocalOriginErrors ? { splitExternalLocalOriginErrors: true } : {}),
    ...(outlier.splitExternalLocalOriginErrors && outlier.consecutiveLocalOriginFailures !== undefined
      ? {
          consecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailures,
          enforcingConsecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailures > 0 ? 100 : 0,
        }
      : {}),
    enforcingSuccessRate: 0,
  };
};

/** `lbPolicy` with its settings, for clusters whose endpoints we or DNS know. Our sidecar does not warm hosts up yet. */
export const loadBalancing = (settings: LoadBalancerSettings | undefined, native: boolean): Partial<ClusterJson> => {
  const hash = settings?.consistentHash;
  if (hash) {
    if (hash.maglev)
      return { lbPolicy: "MAGLEV", maglevLbConfig: { tableSize: String(hash.maglev.tableSize ?? 65_537) } };
    const minimumRingSize = hash.ringHash?.minimumRingSize ?? hash.minimumRingSize ?? 1024;
    return { lbPolicy: "RING_HASH", ringHashLbConfig: { minimumRingSize: String(minimumRingSize) } };
  }
  const lbPolicy = simplePolicies.get(settings?.simple ?? "") ?? "LEAST_REQUEST";
  const warmup =
    settings?.warmup ?? (settings?.warmupDurationSecs ? { duration: settings.warmupDurationSecs } : undefined);
  if (!warmup || native || (lbPolicy !== "ROUND_ROBIN" && lbPolicy !== "LEAST_REQUEST")) return { lbPolicy };
  const slowStartConfig = {
    slowStartWindow: duration(warmup.duration),
    aggression: {
      defaultValue: ("aggression" in warmup ? warmup.aggression : undefined) ?? 1,
      runtimeKey: "weft.warmup",
    },
    minWeightPercent: { value: ("minimumPercent" in warmup ? warmup.minimumPercent : undefined) ?? 10 },
  };
  return lbPolicy === "ROUND_ROBIN"
    ? { lbPolicy, roundRobinLbConfig: { slowStartConfig } }
    : { lbPolicy, leastRequestLbConfig: { slowStartConfig } };
};

const simplePolicies = new Map<string, NonNullable<ClusterJson["lbPolicy"]>>([
  ["ROUND_ROBIN", "ROUND_ROBIN"],
  ["RANDOM", "RANDOM"],
  ["LEAST_REQUEST", "LEAST_REQUEST"],
  ["LEAST_CONN", "LEAST_REQUEST"],
]);

/** `commonLbConfig`: panic off once outlier detection is on, as Istio; locality weights where shares are given. */
export const commonLb = ({ outlierDetection, loadBalancer }: PolicyBlocks): Partial<ClusterJson> => {
  const locality = loadBalancer?.localityLbSetting;
  const weighted = locality?.enabled !== false && (locality?.distribute?.length || (outlierDetection && locality));
  if (!outlierDetection && !weighted) return {};
  return {
    commonLbConfig: {
      ...(outlierDetection ? { healthyPanicThreshold: { value: outlierDetection.minHealthPercent ?? 0 } } : {}),
      ...(weighted ? { localityWeightedLbConfig: {} } : {}),
    },
  };
};

const httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** How HTTP goes upstream: by the port's protocol, by the client's where that is unknown or asked for. */
export const httpOptions = (protocol: Protocol, { connectionPool }: PolicyBlocks): Partial<ClusterJson> => {
  if (!isHttp(protocol) && protocol !== "auto") return {};
  const http = connectionPool?.http;
  const idle = http?.idleTimeout ?? connectionPool?.tcp?.idleTimeout;
  const common = {
    ...(idle === undefined ? {} : { idleTimeout: duration(idle) }),
    ...(http?.maxRequestsPerConnection ? { maxRequestsPerConnection: http.maxRequestsPerConnection } : {}),
    ...(connectionPool?.tcp?.maxConnectionDuration
      ? { maxConnectionDuration: duration(connectionPool.tcp.maxConnectionDuration) }
      : {}),
  };
  const http2 = {
    ...(http?.maxConcurrentStreams ? { maxConcurrentStreams: http.maxConcurrentStreams } : {}),
    ...(http?.http2KeepAlive
      ? {
          connectionKeepalive: {
            interval: duration(http.http2KeepAlive.interval),
            timeout: duration(http.http2KeepAlive.timeout),
          },
        }
      : {}),
  };
  const options: HttpProtocolOptionsJson = Object.keys(common).length > 0 ? { commonHttpProtocolOptions: common } : {};
  if (http?.useClientProtocol || (protocol === "auto" && http?.h2UpgradePolicy !== "UPGRADE")) {
    options.useDownstreamProtocolConfig = { httpProtocolOptions: {}, http2ProtocolOptions: http2 };
  } else if (isHttp2(protocol) || http?.h2UpgradePolicy === "UPGRADE") {
    options.explicitHttpConfig = { http2ProtocolOptions: http2 };
  } else if (Object.keys(common).length > 0) {
    options.explicitHttpConfig = { httpProtocolOptions: {} };
  } else {
    return {};
  }
  return { typedExtensionProtocolOptions: { [httpOptionsName]: any(httpOptionsName, options) } };
};

export const tcpKeepalive = ({ connectionPool }: PolicyBlocks): Partial<ClusterJson> => {
  const keepalive = connectionPool?.tcp?.tcpKeepalive;
  if (!keepalive) return {};
  const seconds = (text: string): number => Math.ceil((parseGoDuration(text) ?? 0) / 1000);
  return {
    upstreamConnectionOptions: {
      tcpKeepalive: {
        ...(keepalive.probes ? { keepaliveProbes: keepalive.probes } : {}),
        ...(keepalive.time ? { keepaliveTime: seconds(keepalive.time) } : {}),
        ...(keepalive.interval ? { keepaliveInterval: seconds(keepalive.interval) } : {}),
      },
    },
  };
};

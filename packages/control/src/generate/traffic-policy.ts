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
import type {
  Cluster_CommonLbConfigJson,
  Cluster_SlowStartConfigJson,
  ClusterJson,
} from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { OutlierDetectionJson } from "@weft/xds/gen/envoy/config/cluster/v3/outlier_detection";
import type { DestinationPolicy } from "../model/destination-rules.ts";
import type { MeshSettings } from "../model/mesh-settings.ts";

type Tcp = NonNullable<ConnectionPoolSettings["tcp"]>;

/** What a policy comes to for one port and subset. */
export interface PolicyBlocks {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly connectionPool?: ConnectionPoolSettings;
  readonly outlierDetection?: OutlierDetection;
  readonly tls?: ClientTlsSettings;
  readonly tunnel?: NonNullable<TrafficPolicy["tunnel"]>;
  readonly proxyProtocol?: NonNullable<TrafficPolicy["proxyProtocol"]>;
  readonly retryBudget?: NonNullable<TrafficPolicy["retryBudget"]>;
}

/** A port's settings stand instead of everything around them, also of what they cannot say, such as a tunnel. */
const portBlocks = (policy: TrafficPolicy | undefined, port: number): PolicyBlocks | undefined => {
  const settings = policy?.portLevelSettings?.find((one) => one.port?.number === port);
  if (!settings) return undefined;
  const { loadBalancer, connectionPool, outlierDetection, tls } = settings;
  return {
    ...(loadBalancer ? { loadBalancer } : {}),
    ...(connectionPool ? { connectionPool } : {}),
    ...(outlierDetection ? { outlierDetection } : {}),
    ...(tls ? { tls } : {}),
  };
};

/** A subset's blocks override one by one; its settings of the port replace the four blocks they can hold. */
export const policyFor = (policy: DestinationPolicy | undefined, port: number, subset = ""): PolicyBlocks => {
  if (!policy) return {};
  const around = portBlocks(policy.trafficPolicy, port) ?? policy.trafficPolicy ?? {};
  const own = subset === "" ? undefined : policy.subsets.find(({ name }) => name === subset)?.trafficPolicy;
  if (!own) return around;
  const atPort = portBlocks(own, port);
  if (!atPort) return { ...around, ...own };
  const { tunnel, proxyProtocol, retryBudget } = around;
  return {
    ...(tunnel ? { tunnel } : {}),
    ...(proxyProtocol ? { proxyProtocol } : {}),
    ...(retryBudget ? { retryBudget } : {}),
    ...atPort,
  };
};

/** With what the mesh gives to blocks the rule leaves out. */
export const withMeshDefaults = (blocks: PolicyBlocks, { defaultTrafficPolicy }: MeshSettings): PolicyBlocks => ({
  ...defaultTrafficPolicy,
  ...blocks,
});

/** With the bound on retries that is written for the mesh, where none is for these. */
export const withRetryBudget = (blocks: PolicyBlocks, { defaults }: MeshSettings): PolicyBlocks => {
  const budget = defaults.retryBudget;
  if (!budget?.written || blocks.retryBudget || blocks.connectionPool?.http?.maxRetries) return blocks;
  const { percent, minConcurrency } = budget;
  return { ...blocks, retryBudget: { percent, minRetryConcurrency: minConcurrency } };
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
    ...(outlier.splitExternalLocalOriginErrors && outlier.consecutiveLocalOriginFailures
      ? {
          consecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailures,
          enforcingConsecutiveLocalOriginFailure: 100,
        }
      : {}),
    ...(outlier.splitExternalLocalOriginErrors ? { enforcingLocalOriginSuccessRate: 0 } : {}),
    enforcingSuccessRate: 0,
  };
};

const aggressionKey = "weft.warmup";

const slowStart = ({ warmup, warmupDurationSecs }: LoadBalancerSettings): Cluster_SlowStartConfigJson | undefined => {
  if (!warmup) return warmupDurationSecs ? { slowStartWindow: duration(warmupDurationSecs) } : undefined;
  return {
    slowStartWindow: duration(warmup.duration),
    ...(warmup.aggression === undefined
      ? {}
      : { aggression: { defaultValue: warmup.aggression, runtimeKey: aggressionKey } }),
    ...(warmup.minimumPercent === undefined ? {} : { minWeightPercent: { value: warmup.minimumPercent } }),
  };
};

/** `lbPolicy` with its settings, for clusters whose endpoints we or DNS know. */
export const loadBalancing = (settings: LoadBalancerSettings | undefined): Partial<ClusterJson> => {
  const hash = settings?.consistentHash;
  if (hash) {
    if (hash.maglev) {
      const { tableSize } = hash.maglev;
      return { lbPolicy: "MAGLEV", ...(tableSize ? { maglevLbConfig: { tableSize: String(tableSize) } } : {}) };
    }
    const minimumRingSize = hash.ringHash?.minimumRingSize || hash.minimumRingSize || 1024;
    return { lbPolicy: "RING_HASH", ringHashLbConfig: { minimumRingSize: String(minimumRingSize) } };
  }
  const lbPolicy = simplePolicies.get(settings?.simple ?? "") ?? "LEAST_REQUEST";
  const slowStartConfig = settings && lbPolicy !== "RANDOM" ? slowStart(settings) : undefined;
  if (!slowStartConfig) return { lbPolicy };
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

const defaultMinClusterSize = 6;

/**
 * `commonLbConfig`: no panic, in which endpoints known not to be well would be used, unless the rule gives a threshold;
 * locality weights where shares or an order of failing over are given; zones where the rule asks for them.
 */
export const commonLb = (blocks: PolicyBlocks, mesh: MeshSettings): Partial<ClusterJson> => {
  const { outlierDetection } = blocks;
  const zones = zoneSetting(blocks, mesh);
  const locality = localitySetting(blocks, mesh);
  const ordered = locality?.failover !== undefined || locality?.failoverPriority !== undefined;
  const weighted = locality?.distribute !== undefined || (outlierDetection !== undefined && ordered);
  const config: Cluster_CommonLbConfigJson = {
    healthyPanicThreshold: { value: outlierDetection?.minHealthPercent ?? 0 },
    ...(zones
      ? {
          zoneAwareLbConfig: {
            ...(zones.enabled === false ? { routingEnabled: { value: 0 } } : {}),
            minClusterSize: String(zones.minClusterSize || defaultMinClusterSize),
          },
        }
      : weighted
        ? { localityWeightedLbConfig: {} }
        : {}),
  };
  return { commonLbConfig: config };
};

/** Zone awareness in force: the rule's, or the mesh's where the rule says nothing of localities. */
export const zoneSetting = (
  { loadBalancer }: PolicyBlocks,
  { zoneAwareLbSetting }: MeshSettings,
): LoadBalancerSettings["zoneAwareLbSetting"] =>
  loadBalancer?.zoneAwareLbSetting ?? (loadBalancer?.localityLbSetting ? undefined : zoneAwareLbSetting);

/**
 * The locality setting in force: the rule's replaces the mesh's, and turns it off where it says so. Zone awareness keeps
 * to priorities: weights would take the place of its own.
 */
export const localitySetting = (
  blocks: PolicyBlocks,
  mesh: MeshSettings,
): LoadBalancerSettings["localityLbSetting"] => {
  const { loadBalancer } = blocks;
  const zones = zoneSetting(blocks, mesh);
  if (zones && zones.enabled !== false) {
    const { failover, failoverPriority } = zones;
    return { ...(failover ? { failover } : {}), ...(failoverPriority ? { failoverPriority } : {}) };
  }
  const setting = loadBalancer?.localityLbSetting ?? mesh.localityLbSetting;
  return setting.enabled === false ? undefined : setting;
};

export const tcpKeepalive = ({ connectionPool }: PolicyBlocks, mesh: MeshSettings): Partial<ClusterJson> => {
  const keepalive: Tcp["tcpKeepalive"] = connectionPool?.tcp?.tcpKeepalive ?? mesh.tcpKeepalive;
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

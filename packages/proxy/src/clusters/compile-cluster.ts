import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { durationMs, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { isIp } from "../matching/cidr.ts";
import { compileCircuitLimits } from "./circuit-limits.ts";
import type { Cluster } from "./cluster.ts";
import { createClusterCounters } from "./counters.ts";
import { compileDiscovery } from "./discovery.ts";
import { type Assignment, compileAssignment, emptyAssignment } from "./endpoints.ts";
import type { Host } from "./host.ts";
import type { HostChange } from "./host-set.ts";
import { compileUpstreamHttp } from "./http-options.ts";
import { compileLbPolicy } from "./lb-policy.ts";
import { createLiveCluster } from "./live-cluster.ts";
import { compileOutlierSettings } from "./outlier-settings.ts";
import { compileTransport, compileTransportMatches } from "./transport.ts";

/** A cluster with what the engine drives it by. */
export interface CompiledCluster extends Cluster {
  /** Takes an assignment (EDS) whole. Throws ConfigError and changes nothing when it cannot be taken. */
  setEndpoints(json: ClusterLoadAssignmentJson): HostChange;
  /** What DNS said of one of `discovery.names`; an empty list takes its hosts away. */
  setResolved(name: { readonly host: string; readonly port: number }, addresses: readonly string[]): HostChange;
  /** ORIGINAL_DST only: the host for `ip:port`, made if need be. */
  originalHost(address: string): Host | undefined;
  /** Hosts of the cluster it replaces that it did not keep: gone, or reached in another way now. To be drained. */
  readonly replaced: readonly Host[];
  /** True once the first endpoints are there; a static cluster is at once. */
  readonly warm: boolean;
  /** Time's work: outlier sweeps, unused hosts of ORIGINAL_DST. Returns hosts to drain. */
  tick(nowMs: number): readonly Host[];
  /** When `tick` is next due, on the monotonic clock; `undefined` never. */
  deadlineMs(): number | undefined;
  /** Equal keys: pooled connections made for one of two clusters may serve the other. */
  readonly connectionKey: string;
  /** What discovery said last; a cluster that replaces this one starts from it. */
  readonly discovered: Discovered;
}

export interface Discovered {
  readonly assignment: Assignment;
  /** Addresses by `host:port` of a DNS name. */
  readonly resolved: ReadonlyMap<string, readonly string[]>;
}

const used = [
  "name",
  "altStatName",
  "type",
  "clusterType",
  "edsClusterConfig",
  "connectTimeout",
  "perConnectionBufferLimitBytes",
  "lbPolicy",
  "loadAssignment",
  "maxRequestsPerConnection",
  "circuitBreakers",
  "upstreamHttpProtocolOptions",
  "commonHttpProtocolOptions",
  "httpProtocolOptions",
  "http2ProtocolOptions",
  "typedExtensionProtocolOptions",
  "dnsRefreshRate",
  "dnsFailureRefreshRate",
  "respectDnsTtl",
  "dnsLookupFamily",
  "dnsResolvers",
  "dnsResolutionConfig",
  "typedDnsResolverConfig",
  "outlierDetection",
  "cleanupInterval",
  "upstreamBindConfig",
  "ringHashLbConfig",
  "maglevLbConfig",
  "originalDstLbConfig",
  "leastRequestLbConfig",
  "roundRobinLbConfig",
  "commonLbConfig",
  "transportSocket",
  "transportSocketMatches",
  "metadata",
  "protocolSelection",
  "upstreamConnectionOptions",
  "loadBalancingPolicy",
] as const;

const defaultConnectTimeoutMs = 5000;
const defaultBufferBytes = 1_048_576;
const defaultCleanupMs = 5000;

const compileKeepalive = (json: ClusterJson): Cluster["tcpKeepalive"] => {
  const options = json.upstreamConnectionOptions;
  if (!options) return undefined;
  refuseOthers(options, "UpstreamConnectionOptions", "upstreamConnectionOptions", ["tcpKeepalive"]);
  const keepalive = options.tcpKeepalive;
  if (!keepalive) return undefined;
  const at = "upstreamConnectionOptions.tcpKeepalive";
  return {
    probes: unsigned(keepalive.keepaliveProbes, `${at}.keepaliveProbes`) ?? 9,
    timeMs: (unsigned(keepalive.keepaliveTime, `${at}.keepaliveTime`) ?? 7200) * 1000,
    intervalMs: (unsigned(keepalive.keepaliveInterval, `${at}.keepaliveInterval`) ?? 75) * 1000,
  };
};

const compileSource = (json: ClusterJson): string | undefined => {
  const bind = json.upstreamBindConfig;
  if (!bind) return undefined;
  refuseOthers(bind, "BindConfig", "upstreamBindConfig", ["sourceAddress", "extraSourceAddresses"]);
  const at = "upstreamBindConfig.sourceAddress";
  const address = required(bind.sourceAddress?.address, `${at}.address`);
  if (!isIp(address)) throw new ConfigError(`${at}.address`, `"${address}" is not an IP address`);
  if (bind.sourceAddress?.portValue) throw new ConfigError(`${at}.portValue`, "is not supported");
  return address;
};

const compileStatic = (json: ClusterJson, kind: Cluster["discovery"]["kind"]): Assignment => {
  if (kind === "eds" && json.loadAssignment)
    throw new ConfigError("loadAssignment", "an EDS cluster has none of its own");
  if (!json.loadAssignment) return emptyAssignment;
  const assignment = compileAssignment(json.loadAssignment, "loadAssignment");
  const index = assignment.endpoints.findIndex(({ unresolved }) => unresolved);
  if (kind === "static" && index >= 0) {
    const target = assignment.endpoints[index]?.target;
    const host = target?.kind === "ip" ? target.host : "";
    throw new ConfigError("loadAssignment.endpoints", `"${host}" is not an IP address; names need STRICT_DNS`);
  }
  return assignment;
};

/**
 * Compiles a Cluster. Hosts, counters, load and ejections of the cluster it replaces live on in it, so it must take
 * that one's place at once; for a mere check give no `previous`. A ConfigError changes nothing.
 */
export const compileCluster = (
  json: ClusterJson,
  previous: CompiledCluster | undefined,
  tools: CompileTools,
): CompiledCluster => {
  refuseOthers(json, "Cluster", "", used);
  const name = required(json.name, "name");
  const connectTimeoutMs = durationMs(json.connectTimeout, "connectTimeout") ?? defaultConnectTimeoutMs;
  if (connectTimeoutMs <= 0) throw new ConfigError("connectTimeout", "must be greater than 0");
  const discovery = compileDiscovery(json);
  const http = compileUpstreamHttp(json);
  const settings = {
    name,
    statName: json.altStatName || name,
    connectTimeoutMs,
    http,
    limits: compileCircuitLimits(json.circuitBreakers, "circuitBreakers"),
    load: previous?.load ?? { connections: 0, pendingRequests: 0, requests: 0, retries: 0 },
    discovery,
    tls: compileTransportMatches(json.transportSocketMatches),
    defaultTransport: compileTransport(json.transportSocket, "transportSocket"),
    tcpKeepalive: compileKeepalive(json),
    perConnectionBufferBytesMax:
      unsigned(json.perConnectionBufferLimitBytes, "perConnectionBufferLimitBytes") ?? defaultBufferBytes,
    sourceAddress: compileSource(json),
    metadata: (json.metadata?.filterMetadata ?? {}) as Cluster["metadata"],
    counters: previous?.counters ?? createClusterCounters(),
    connectionKey: JSON.stringify([
      json.transportSocket,
      json.transportSocketMatches,
      http,
      json.upstreamBindConfig,
      json.upstreamConnectionOptions,
    ]),
  };
  return createLiveCluster(settings, {
    assignment: compileStatic(json, discovery.kind),
    lb: compileLbPolicy(json),
    outlier: compileOutlierSettings(json.outlierDetection),
    cleanupMs: durationMs(json.cleanupInterval, "cleanupInterval") ?? defaultCleanupMs,
    previous,
    tools,
  });
};

import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { SocketAddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { durationMs, oneOf, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { NoHost, OnDynamicHost } from "../dns/dynamic-hosts.ts";
import { compileHealthChecks, type HealthCheckSettings } from "../health-checks/check-settings.ts";
import { isIp } from "../matching/cidr.ts";
import { compileCircuitLimits } from "./circuit-limits.ts";
import type { Cluster, HappyEyeballs } from "./cluster.ts";
import { ClusterTimes } from "./cluster-times.ts";
import type { ClusterCounts } from "./counts.ts";
import { compileDiscovery } from "./discovery.ts";
import { type Assignment, compileAssignment, emptyAssignment, refuseNames } from "./endpoints.ts";
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
  /**
   * Of a cluster whose hosts are the names that requests ask for: the host for `name[:port]`, or why there is none;
   * `undefined`: `onFound` will be told.
   */
  dynamicHost(name: string, onFound: OnDynamicHost): Host | NoHost | undefined;
  /** The cluster is gone or replaced: nobody waits for its names any more, and its subsets are none. */
  closeNames(): void;
  /** What DNS said of one of `discovery.names`; an empty list takes its hosts away. */
  setResolved(name: { readonly host: string; readonly port: number }, addresses: readonly string[]): HostChange;
  /** ORIGINAL_DST only: the host for `ip:port`, made if need be. */
  originalHost(address: string): Host | undefined;
  /** Hosts of the cluster it replaces that it did not keep: gone, or reached in another way now. To be drained. */
  readonly replaced: readonly Host[];
  /** True once the first endpoints are there; a static cluster is at once. */
  readonly warm: boolean;
  /** How its hosts are checked actively. */
  readonly healthChecks: readonly HealthCheckSettings[];
  /** What checks found of a host, as `checkFlags`; all threads will see it. */
  setChecked(host: Host, flags: number): void;
  /** A host has passed a check: outlier detection may take it back. */
  passedCheck(host: Host): void;
  /** Something from outside that the pick depends on has changed. */
  refresh(): void;
  /** Time's work: outlier sweeps, unused hosts of ORIGINAL_DST. Returns hosts to drain. */
  tick(nowMs: number): readonly Host[];
  /** When `tick` is next due, on the monotonic clock; `undefined` never. */
  deadlineMs(): number | undefined;
  /** Equal keys: pooled connections made for one of two clusters may serve the other. */
  readonly connectionKey: string;
  /** What discovery said last; a cluster that replaces this one starts from it. */
  readonly discovered: Discovered;
  /** Goes over to the cluster that replaces this one. */
  readonly counts: ClusterCounts;
  /** The cluster is gone for good: its counts are kept only for what is in flight. */
  release(): void;
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
  "preconnectPolicy",
  "healthChecks",
  "waitForWarmOnInit",
  "lbSubsetConfig",
  "closeConnectionsOnHostHealthFailure",
  "ignoreHealthOnHostRemoval",
  "lrsServer",
] as const;

/** As in Envoy. */
export const defaultConnectTimeoutMs = 5000;
const defaultBufferBytes = 1_048_576;
const defaultCleanupMs = 5000;

/** Who is told the load is seen to where clusters come from; here only that it can be. */
const checkLoadServer = ({ lrsServer }: ClusterJson): void => {
  if (lrsServer && !lrsServer.self && !lrsServer.ads) {
    throw new ConfigError("lrsServer", "load is told to the server that clusters come from: self or ads");
  }
};

const compileKeepalive = (json: ClusterJson): Cluster["tcpKeepalive"] => {
  const options = json.upstreamConnectionOptions;
  if (!options) return undefined;
  refuseOthers(options, "UpstreamConnectionOptions", "upstreamConnectionOptions", [
    "tcpKeepalive",
    "happyEyeballsConfig",
  ]);
  const keepalive = options.tcpKeepalive;
  if (!keepalive) return undefined;
  const at = "upstreamConnectionOptions.tcpKeepalive";
  return {
    probes: unsigned(keepalive.keepaliveProbes, `${at}.keepaliveProbes`) ?? 9,
    timeMs: (unsigned(keepalive.keepaliveTime, `${at}.keepaliveTime`) ?? 7200) * 1000,
    intervalMs: (unsigned(keepalive.keepaliveInterval, `${at}.keepaliveInterval`) ?? 75) * 1000,
  };
};

const compileHappyEyeballs = (json: ClusterJson): HappyEyeballs => {
  const settings = json.upstreamConnectionOptions?.happyEyeballsConfig ?? {};
  const at = "upstreamConnectionOptions.happyEyeballsConfig";
  refuseOthers(settings, "HappyEyeballsConfig", at, ["firstAddressFamilyVersion", "firstAddressFamilyCount"]);
  const version = oneOf(
    settings.firstAddressFamilyVersion,
    ["DEFAULT", "V4", "V6"],
    "DEFAULT",
    `${at}.firstAddressFamilyVersion`,
  );
  const count = unsigned(settings.firstAddressFamilyCount, `${at}.firstAddressFamilyCount`) ?? 1;
  if (count < 1) throw new ConfigError(`${at}.firstAddressFamilyCount`, "must be at least 1");
  return { firstFamily: version === "V4" ? "v4" : version === "V6" ? "v6" : undefined, count };
};

/** Envoy takes 1 to 3 and counts connections in multiples of what is in use. */
const compilePreconnect = ({ preconnectPolicy: json }: ClusterJson): Cluster["preconnect"] => {
  if (!json) return { perUpstreamRatio: 1, predictiveRatio: 1 };
  const at = "preconnectPolicy";
  refuseOthers(json, "PreconnectPolicy", at, ["perUpstreamPreconnectRatio", "predictivePreconnectRatio"]);
  const ratio = (name: "perUpstreamPreconnectRatio" | "predictivePreconnectRatio"): number => {
    const value = json[name] ?? 1;
    if (typeof value !== "number" || !(value >= 1 && value <= 3)) {
      throw new ConfigError(`${at}.${name}`, `"${value}" is not a ratio from 1 to 3`);
    }
    return value;
  };
  return {
    perUpstreamRatio: ratio("perUpstreamPreconnectRatio"),
    predictiveRatio: ratio("predictivePreconnectRatio"),
  };
};

const compileSourceAddress = (json: SocketAddressJson | undefined, at: string): string => {
  const address = required(json?.address, `${at}.address`);
  if (!isIp(address)) throw new ConfigError(`${at}.address`, `"${address}" is not an IP address`);
  if (json?.portValue) throw new ConfigError(`${at}.portValue`, "is not supported");
  return address;
};

const compileSources = ({ upstreamBindConfig: bind }: ClusterJson): readonly string[] => {
  if (!bind) return [];
  refuseOthers(bind, "BindConfig", "upstreamBindConfig", ["sourceAddress", "extraSourceAddresses"]);
  return [
    compileSourceAddress(bind.sourceAddress, "upstreamBindConfig.sourceAddress"),
    ...(bind.extraSourceAddresses ?? []).map((extra, index) => {
      const at = `upstreamBindConfig.extraSourceAddresses[${index}]`;
      refuseOthers(extra, "ExtraSourceAddress", at, ["address"]);
      return compileSourceAddress(extra.address, `${at}.address`);
    }),
  ];
};

const compileStatic = (json: ClusterJson, kind: Cluster["discovery"]["kind"]): Assignment => {
  if (kind === "eds" && json.loadAssignment)
    throw new ConfigError("loadAssignment", "an EDS cluster has none of its own");
  if (!json.loadAssignment) return emptyAssignment;
  const assignment = compileAssignment(json.loadAssignment, "loadAssignment");
  if (kind === "static") refuseNames(assignment, "loadAssignment.endpoints", "; names need STRICT_DNS");
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
): CompiledCluster => prepareCluster(json, tools)(previous);

/** Servers that requests name have to prove who they are; who said nothing of that gets it, as in Envoy. */
const requireNames = (http: Cluster["http"], discovery: Cluster["discovery"], json: ClusterJson): Cluster["http"] => {
  if (discovery.kind !== "dynamic" || discovery.insecure || (http.names?.sni && http.names.san)) return http;
  if (json.upstreamHttpProtocolOptions === undefined && json.typedExtensionProtocolOptions === undefined) {
    return { ...http, names: { sni: true, san: true, header: "" } };
  }
  throw new ConfigError(
    "upstreamHttpProtocolOptions",
    "needs autoSni and autoSanValidation for a dynamic forward proxy, unless its allowInsecureClusterOptions is set",
  );
};

/** The part of it that can fail; what it gives back cannot, and is to be called when the cluster takes its place. */
export const prepareCluster = (
  json: ClusterJson,
  tools: CompileTools,
): ((previous: CompiledCluster | undefined) => CompiledCluster) => {
  refuseOthers(json, "Cluster", "", used);
  checkLoadServer(json);
  const name = required(json.name, "name");
  const connectTimeoutMs = durationMs(json.connectTimeout, "connectTimeout") ?? defaultConnectTimeoutMs;
  if (connectTimeoutMs <= 0) throw new ConfigError("connectTimeout", "must be greater than 0");
  const discovery = compileDiscovery(json);
  const http = requireNames(compileUpstreamHttp(json), discovery, json);
  const tls = compileTransportMatches(json.transportSocketMatches);
  const defaultTransport = compileTransport(json.transportSocket, "transportSocket");
  if (defaultTransport.kind === "tls") tools.checkKeyFiles?.(defaultTransport, "transportSocket");
  for (const [index, { transport }] of tls.entries()) {
    if (transport.kind === "tls") tools.checkKeyFiles?.(transport, `transportSocketMatches[${index}].transportSocket`);
  }
  const lb = compileLbPolicy(json);
  const healthChecks = compileHealthChecks(json.healthChecks, "healthChecks", tools.clock);
  if (healthChecks.length > 0 && discovery.kind === "originalDst") {
    throw new ConfigError("healthChecks", "hosts of an ORIGINAL_DST cluster cannot be checked");
  }
  const settings = {
    name,
    healthChecks,
    statName: json.altStatName || name,
    connectTimeoutMs,
    http,
    limits: compileCircuitLimits(json.circuitBreakers, "circuitBreakers"),
    highLimits: compileCircuitLimits(json.circuitBreakers, "circuitBreakers", "HIGH"),
    discovery,
    byHash: lb.byHash,
    tls,
    defaultTransport,
    tcpKeepalive: compileKeepalive(json),
    happyEyeballs: compileHappyEyeballs(json),
    perConnectionBufferBytesMax:
      unsigned(json.perConnectionBufferLimitBytes, "perConnectionBufferLimitBytes") ?? defaultBufferBytes,
    preconnect: compilePreconnect(json),
    sourceAddresses: compileSources(json),
    closesOnFailure: json.closeConnectionsOnHostHealthFailure === true,
    metadata: (json.metadata?.filterMetadata ?? {}) as Cluster["metadata"],
    times: new ClusterTimes(json.altStatName || name, tools.histogram),
    connectionKey: JSON.stringify([
      json.transportSocket,
      json.transportSocketMatches,
      http,
      json.upstreamBindConfig,
      json.upstreamConnectionOptions,
    ]),
  };
  const parts = {
    assignment: compileStatic(json, discovery.kind),
    lb,
    checks: {
      checks: healthChecks.length > 0,
      outlives: json.ignoreHealthOnHostRemoval !== true,
      ignoresUnchecked: lb.ignoresUnchecked && healthChecks.length > 0,
    },
    outlier: compileOutlierSettings(json.outlierDetection),
    cleanupMs: durationMs(json.cleanupInterval, "cleanupInterval") ?? defaultCleanupMs,
    tools,
  };
  return (previous) => createLiveCluster(settings, { ...parts, previous });
};

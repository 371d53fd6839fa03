/** Clusters whose hosts are the names that requests ask for. */
import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterConfigJson } from "@weft/xds/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster";
import type { DnsCacheConfigJson } from "@weft/xds/gen/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache";
import type { ClusterDiscovery, DynamicNames } from "../clusters/cluster.ts";
import { atMostOne, durationMs, refuseOthers, required, unsigned, within } from "../compile/fields.ts";
import { compileRefresh, type RefreshFields } from "./compile-dns-cluster.ts";

export const dynamicClusterType = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";

const defaultRefreshMs = 60_000;
const defaultLeastMs = 5000;
const defaultHostMs = 300_000;
const defaultHosts = 1024;
const defaultPending = 1024;
const defaultQueryMs = 5000;

/** Compiles the settings of a cache of names. */
export const compileDnsCache = (json: DnsCacheConfigJson): DynamicNames => {
  refuseOthers(json, "DnsCacheConfig", "", [
    "name",
    "dnsLookupFamily",
    "dnsRefreshRate",
    "dnsMinRefreshRate",
    "hostTtl",
    "maxHosts",
    "dnsFailureRefreshRate",
    "dnsCacheCircuitBreaker",
    "useTcpForDnsLookups",
    "dnsResolutionConfig",
    "typedDnsResolverConfig",
    "preresolveHostnames",
    "dnsQueryTimeout",
  ]);
  const hostTtlMs = durationMs(json.hostTtl, "hostTtl") ?? defaultHostMs;
  if (hostTtlMs <= 0) throw new ConfigError("hostTtl", "must be greater than 0");
  const hostsMax = unsigned(json.maxHosts, "maxHosts") ?? defaultHosts;
  if (hostsMax === 0) throw new ConfigError("maxHosts", "must be greater than 0");
  const ttlLeastMs = durationMs(json.dnsMinRefreshRate, "dnsMinRefreshRate") ?? defaultLeastMs;
  if (ttlLeastMs < 1000) throw new ConfigError("dnsMinRefreshRate", "must be a second at least");
  const pending = json.dnsCacheCircuitBreaker?.maxPendingRequests;
  return {
    name: required(json.name, "name"),
    refresh: { ...compileRefresh(json as RefreshFields, defaultRefreshMs), respectTtl: true, ttlLeastMs },
    hostTtlMs,
    hostsMax,
    pendingMax: unsigned(pending, "dnsCacheCircuitBreaker.maxPendingRequests") ?? defaultPending,
    queryTimeoutMs: durationMs(json.dnsQueryTimeout, "dnsQueryTimeout") ?? defaultQueryMs,
    early: (json.preresolveHostnames ?? []).map(({ address, portValue }, index) => ({
      host: required(address, `preresolveHostnames[${index}].address`),
      port: portValue ?? 0,
    })),
  };
};

export const compileDynamicCluster = (json: ClusterJson, typed: ClusterConfigJson, at: string): ClusterDiscovery => {
  if ((json.loadAssignment?.endpoints ?? []).length > 0) {
    throw new ConfigError("loadAssignment", "the hosts of a dynamic forward proxy are those that requests name");
  }
  if (json.lbPolicy !== undefined && json.lbPolicy !== "CLUSTER_PROVIDED" && typed.subClustersConfig === undefined) {
    throw new ConfigError("lbPolicy", `${json.lbPolicy} is not for a dynamic forward proxy: it is CLUSTER_PROVIDED`);
  }
  return within(at, () => {
    refuseOthers(typed, "DynamicForwardProxyCluster", "", [
      "dnsCacheConfig",
      "subClustersConfig",
      "allowInsecureClusterOptions",
      "allowCoalescedConnections",
    ]);
    atMostOne(typed, ["dnsCacheConfig", "subClustersConfig"], "");
    if (typed.subClustersConfig) return compileSubClusters(typed.subClustersConfig);
    const cache = required(typed.dnsCacheConfig, "dnsCacheConfig");
    const names = within("dnsCacheConfig", () => compileDnsCache(cache));
    return { kind: "dynamic", names, insecure: typed.allowInsecureClusterOptions === true };
  });
};

/** Each name a little cluster of its own; with one address of a name at a time, that is a cache of names. */
const compileSubClusters = (json: NonNullable<ClusterConfigJson["subClustersConfig"]>): ClusterDiscovery => {
  refuseOthers(json, "SubClustersConfig", "subClustersConfig", ["lbPolicy", "maxSubClusters", "subClusterTtl"]);
  const cache: DnsCacheConfigJson = {
    name: "sub_clusters",
    maxHosts: unsigned(json.maxSubClusters, "subClustersConfig.maxSubClusters") ?? defaultHosts,
    ...(json.subClusterTtl === undefined ? {} : { hostTtl: json.subClusterTtl }),
  };
  return { kind: "dynamic", names: within("subClustersConfig", () => compileDnsCache(cache)), insecure: false };
};

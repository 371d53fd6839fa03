/** Clusters of names: STRICT_DNS, LOGICAL_DNS, and the typed cluster that is either. */
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { DnsClusterJson } from "@weft/xds/dns-cluster";
import type { Cluster_RefreshRateJson, ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterDiscovery, DnsRefresh } from "../clusters/cluster.ts";
import { durationMs, refuseOthers, within } from "../compile/fields.ts";
import { isIp } from "../matching/cidr.ts";
import { compileResolver, type ResolverFields } from "./compile-resolver.ts";
import { dnsRefreshMsMin } from "./limits.ts";

const defaultRefreshMs = 5000;

const families = new Map([
  ["UNSPECIFIED", "auto"],
  ["AUTO", "auto"],
  ["V4_ONLY", "v4"],
  ["V6_ONLY", "v6"],
  ["V4_PREFERRED", "v4Preferred"],
  ["ALL", "all"],
] as const);

/** Fields that clusters, the typed cluster and the cache of a forward proxy have in common. */
export interface RefreshFields extends ResolverFields {
  readonly dnsRefreshRate?: string;
  readonly dnsFailureRefreshRate?: Cluster_RefreshRateJson;
  readonly respectDnsTtl?: boolean;
  readonly dnsJitter?: string;
  readonly dnsLookupFamily?: string;
}

/** As often as ever where nothing is said; else less and less often, to ten times the interval by default. */
const compileFailureRefresh = (rate: Cluster_RefreshRateJson | undefined, refreshMs: number) => {
  const base = durationMs(rate?.baseInterval, "dnsFailureRefreshRate.baseInterval");
  const most = durationMs(rate?.maxInterval, "dnsFailureRefreshRate.maxInterval");
  if (rate !== undefined && base === undefined) {
    throw new ConfigError("dnsFailureRefreshRate.baseInterval", "is required");
  }
  if (base !== undefined && most !== undefined && most < base) {
    throw new ConfigError("dnsFailureRefreshRate.maxInterval", "must not be less than the base interval");
  }
  const baseMs = Math.max(base ?? refreshMs, dnsRefreshMsMin);
  return {
    failureRefreshMs: baseMs,
    failureRefreshMostMs: Math.max(most ?? (rate === undefined ? baseMs : 10 * baseMs), baseMs),
    failureRandom: rate !== undefined,
  };
};

/** How names are kept resolved. */
export const compileRefresh = (json: RefreshFields, standardMs: number = defaultRefreshMs): DnsRefresh => {
  const refreshMs = durationMs(json.dnsRefreshRate, "dnsRefreshRate") ?? standardMs;
  if (refreshMs < 1) throw new ConfigError("dnsRefreshRate", "must be more than a millisecond");
  const family = families.get((json.dnsLookupFamily ?? "AUTO") as "AUTO");
  if (!family) throw new ConfigError("dnsLookupFamily", `${json.dnsLookupFamily} is not supported`);
  return {
    refreshMs: Math.max(refreshMs, dnsRefreshMsMin),
    ...compileFailureRefresh(json.dnsFailureRefreshRate, refreshMs),
    jitterMs: durationMs(json.dnsJitter, "dnsJitter") ?? 0,
    respectTtl: json.respectDnsTtl === true,
    ttlLeastMs: 0,
    family,
    resolver: compileResolver(json),
  };
};

/** The names to resolve, each once; addresses need no resolving. */
const dnsNames = (json: ClusterJson): readonly SocketAddress[] => {
  const names = new Map<string, SocketAddress>();
  for (const [l, { lbEndpoints }] of (json.loadAssignment?.endpoints ?? []).entries()) {
    for (const [e, { endpoint }] of (lbEndpoints ?? []).entries()) {
      const { address: host = "", portValue: port = 0, resolverName } = endpoint?.address?.socketAddress ?? {};
      if (resolverName) {
        const at = `loadAssignment.endpoints[${l}].lbEndpoints[${e}].endpoint.address.socketAddress.resolverName`;
        throw new ConfigError(at, "a cluster of names has no resolver for one of them");
      }
      if (host !== "" && !isIp(host)) names.set(formatAddress({ host, port }), { host, port });
    }
  }
  return [...names.values()];
};

const compile = (json: ClusterJson, kind: "strictDns" | "logicalDns", refresh: () => DnsRefresh): ClusterDiscovery => {
  if (json.lbPolicy === "CLUSTER_PROVIDED")
    throw new ConfigError("lbPolicy", "a cluster of names provides no host itself");
  if (!json.loadAssignment) throw new ConfigError("loadAssignment", "is required");
  const count = (json.loadAssignment.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints ?? []).length;
  if (kind === "logicalDns" && count !== 1) {
    throw new ConfigError("loadAssignment.endpoints", `LOGICAL_DNS needs exactly one endpoint, has ${count}`);
  }
  return { kind, names: dnsNames(json), ...refresh() };
};

export const compileDnsCluster = (json: ClusterJson, kind: "strictDns" | "logicalDns"): ClusterDiscovery =>
  compile(json, kind, () => compileRefresh(json as RefreshFields));

export const dnsClusterType = "envoy.extensions.clusters.dns.v3.DnsCluster";

/** The cluster's own fields of names mean nothing then, its resolver's neither. */
export const compileTypedDnsCluster = (json: ClusterJson, typed: DnsClusterJson, at: string): ClusterDiscovery => {
  const kind = typed.allAddressesInSingleEndpoint === true ? "logicalDns" : "strictDns";
  return compile(json, kind, () =>
    within(at, () => {
      refuseOthers(typed, "DnsCluster", "", [
        "dnsRefreshRate",
        "dnsFailureRefreshRate",
        "respectDnsTtl",
        "dnsJitter",
        "typedDnsResolverConfig",
        "dnsLookupFamily",
        "allAddressesInSingleEndpoint",
        "dnsMinRefreshRate",
      ]);
      const ttlLeastMs = durationMs(typed.dnsMinRefreshRate, "dnsMinRefreshRate") ?? 0;
      return { ...compileRefresh(typed as RefreshFields), ttlLeastMs };
    }),
  );
};

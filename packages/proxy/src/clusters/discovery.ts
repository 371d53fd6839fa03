/** Where a cluster's endpoints come from. */
import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { durationMs, member, oneOf, refuseOthers } from "../compile/fields.ts";
import { isIp } from "../matching/cidr.ts";
import type { ClusterDiscovery } from "./cluster.ts";

const defaultDnsRefreshMs = 5000;
/** No name is asked for more often, whatever the configuration says: somebody else has to answer. */
const dnsRefreshMsMin = 100;

const families = new Map([
  ["AUTO", "auto"],
  ["V4_ONLY", "v4"],
  ["V6_ONLY", "v6"],
  ["V4_PREFERRED", "v4Preferred"],
  ["ALL", "all"],
] as const);

/** The names to resolve, each once; addresses need no resolving. */
const dnsNames = (json: ClusterJson): readonly { readonly host: string; readonly port: number }[] => {
  const names = new Map<string, { host: string; port: number }>();
  for (const { lbEndpoints } of json.loadAssignment?.endpoints ?? []) {
    for (const { endpoint } of lbEndpoints ?? []) {
      const { address: host = "", portValue: port = 0 } = endpoint?.address?.socketAddress ?? {};
      if (host !== "" && !isIp(host)) names.set(`${host}:${port}`, { host, port });
    }
  }
  return [...names.values()];
};

const refuseResolvers = (json: ClusterJson): void => {
  const typed = json.typedDnsResolverConfig?.typedConfig as Readonly<Record<string, unknown>> | undefined;
  const given: readonly [string, unknown][] = [
    ["dnsResolvers", json.dnsResolvers],
    ["dnsResolutionConfig.resolvers", json.dnsResolutionConfig?.resolvers],
    ["typedDnsResolverConfig.typedConfig.resolvers", typed?.resolvers],
  ];
  for (const [at, resolvers] of given) {
    if (Array.isArray(resolvers) && resolvers.length > 0) throw new ConfigError(at, "the system's resolver is used");
  }
};

const compileDns = (json: ClusterJson, kind: "strictDns" | "logicalDns"): ClusterDiscovery => {
  refuseResolvers(json);
  if (!json.loadAssignment) throw new ConfigError("loadAssignment", "is required");
  const refreshMs = durationMs(json.dnsRefreshRate, "dnsRefreshRate") ?? defaultDnsRefreshMs;
  if (refreshMs < 1) throw new ConfigError("dnsRefreshRate", "must be more than a millisecond");
  const count = (json.loadAssignment.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints ?? []).length;
  if (kind === "logicalDns" && count !== 1) {
    throw new ConfigError("loadAssignment.endpoints", `LOGICAL_DNS needs exactly one endpoint, has ${count}`);
  }
  const family = families.get(json.dnsLookupFamily ?? "AUTO");
  if (!family) throw new ConfigError("dnsLookupFamily", `${json.dnsLookupFamily} is not supported`);
  return {
    kind,
    names: dnsNames(json),
    refreshMs: Math.max(refreshMs, dnsRefreshMsMin),
    ...failureRefresh(json, refreshMs),
    respectTtl: json.respectDnsTtl === true,
    family,
  };
};

/** As often as ever where nothing is said; else less and less often, to ten times the interval by default. */
const failureRefresh = ({ dnsFailureRefreshRate: rate }: ClusterJson, refreshMs: number) => {
  const baseMs = Math.max(
    durationMs(rate?.baseInterval, "dnsFailureRefreshRate.baseInterval") ?? refreshMs,
    dnsRefreshMsMin,
  );
  const given = durationMs(rate?.maxInterval, "dnsFailureRefreshRate.maxInterval");
  const mostMs = given ?? (rate === undefined ? baseMs : 10 * baseMs);
  return { failureRefreshMs: baseMs, failureRefreshMostMs: Math.max(mostMs, baseMs) };
};

const compileOriginalDst = (json: ClusterJson): ClusterDiscovery => {
  const settings = json.originalDstLbConfig ?? {};
  refuseOthers(settings, "OriginalDstLbConfig", "originalDstLbConfig", ["useHttpHeader", "httpHeaderName"]);
  const header = settings.httpHeaderName?.toLowerCase() ?? "";
  if (header !== "" && header !== "x-envoy-original-dst-host") {
    throw new ConfigError("originalDstLbConfig.httpHeaderName", "only x-envoy-original-dst-host is supported");
  }
  if ((json.loadAssignment?.endpoints ?? []).length > 0) {
    throw new ConfigError("loadAssignment", "an ORIGINAL_DST cluster has no endpoints");
  }
  return { kind: "originalDst", useHeader: settings.useHttpHeader === true };
};

/** Compiles the cluster's discovery type with what it needs. */
export const compileDiscovery = (json: ClusterJson): ClusterDiscovery => {
  if (json.clusterType) {
    throw new ConfigError("clusterType", `"${json.clusterType.name}" is not supported`);
  }
  const types = ["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"] as const;
  switch (oneOf(json.type, types, "STATIC", "type")) {
    case "STATIC":
      return { kind: "static" };
    case "STRICT_DNS":
      return compileDns(json, "strictDns");
    case "LOGICAL_DNS":
      return compileDns(json, "logicalDns");
    case "ORIGINAL_DST":
      return compileOriginalDst(json);
    case "EDS": {
      const eds = json.edsClusterConfig;
      if (!eds?.edsConfig) throw new ConfigError(member("edsClusterConfig", "edsConfig"), "is required");
      return { kind: "eds", serviceName: eds.serviceName || (json.name ?? "") };
    }
  }
};

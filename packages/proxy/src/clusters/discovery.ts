/** Where a cluster's endpoints come from. */
import { ConfigError } from "@weft/core/config-error";
import type { DnsClusterJson } from "@weft/xds/dns-cluster";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { openAny } from "../compile/any.ts";
import { member, oneOf, refuseOthers, required, unsigned } from "../compile/fields.ts";
import { compileDnsCluster, compileTypedDnsCluster, dnsClusterType } from "../dns/compile-dns-cluster.ts";
import { compileDynamicCluster, dynamicClusterType } from "../dns/compile-dynamic-cluster.ts";
import type { ClusterDiscovery } from "./cluster.ts";

const defaultHeader = "x-envoy-original-dst-host";

const compileOriginalDst = (json: ClusterJson): ClusterDiscovery => {
  const settings = json.originalDstLbConfig ?? {};
  const at = "originalDstLbConfig";
  refuseOthers(settings, "OriginalDstLbConfig", at, [
    "useHttpHeader",
    "httpHeaderName",
    "upstreamPortOverride",
    "metadataKey",
  ]);
  const named = settings.httpHeaderName?.toLowerCase() ?? "";
  if (named !== "" && settings.useHttpHeader !== true) {
    throw new ConfigError(`${at}.httpHeaderName`, "needs useHttpHeader");
  }
  if ((json.loadAssignment?.endpoints ?? []).length > 0) {
    throw new ConfigError("loadAssignment", "an ORIGINAL_DST cluster has no endpoints");
  }
  const port = unsigned(settings.upstreamPortOverride ?? undefined, `${at}.upstreamPortOverride`);
  if (port !== undefined && port > 65_535) throw new ConfigError(`${at}.upstreamPortOverride`, `${port} is not a port`);
  const { metadataKey: key } = settings;
  return {
    kind: "originalDst",
    header: settings.useHttpHeader === true ? named || defaultHeader : undefined,
    port,
    metadata: key && [
      required(key.key, `${at}.metadataKey.key`),
      ...(key.path ?? []).map((step, index) => required(step.key, `${at}.metadataKey.path[${index}].key`)),
    ],
  };
};

const compileTyped = ({ clusterType, ...json }: ClusterJson): ClusterDiscovery => {
  const at = member("clusterType", "typedConfig");
  if (!clusterType?.typedConfig) throw new ConfigError("clusterType", `"${clusterType?.name}" is not supported`);
  const { typeName, raw } = openAny(clusterType?.typedConfig, at);
  if (typeName === dnsClusterType) return compileTypedDnsCluster(json, raw as DnsClusterJson, at);
  if (typeName === dynamicClusterType) return compileDynamicCluster(json, raw, at);
  throw new ConfigError("clusterType", `"${clusterType?.name}" is not supported`);
};

/** Compiles the cluster's discovery type with what it needs. */
export const compileDiscovery = (json: ClusterJson): ClusterDiscovery => {
  if (json.clusterType) return compileTyped(json);
  const types = ["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"] as const;
  switch (oneOf(json.type, types, "STATIC", "type")) {
    case "STATIC":
      return { kind: "static" };
    case "STRICT_DNS":
      return compileDnsCluster(json, "strictDns");
    case "LOGICAL_DNS":
      return compileDnsCluster(json, "logicalDns");
    case "ORIGINAL_DST":
      return compileOriginalDst(json);
    case "EDS": {
      const eds = json.edsClusterConfig;
      if (!eds?.edsConfig) throw new ConfigError(member("edsClusterConfig", "edsConfig"), "is required");
      return { kind: "eds", serviceName: eds.serviceName || (json.name ?? "") };
    }
  }
};

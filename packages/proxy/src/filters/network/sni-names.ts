/** Filters in front of tcp_proxy that have the name decide which a client asks for by TLS. */
import { ConfigError } from "@weft/core/config-error";
import type { FilterConfigJson } from "@weft/xds/gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy";
import { refuseOthers, required, unsigned, within } from "../../compile/fields.ts";
import { compileDnsCache } from "../../dns/compile-dynamic-cluster.ts";

/** The name is the cluster's. */
export const sniClusterType = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster";
/** The name is the host's. */
export const sniDynamicType = "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig";

export const defaultDynamicPort = 443;

/** The port of the hosts so named. The cache is the cluster's, which says the same of it. */
export const compileSniDynamic = (json: FilterConfigJson): number => {
  refuseOthers(json, "SniDynamicForwardProxy", "", ["dnsCacheConfig", "portValue", "portSpecifier" as never]);
  const cache = required(json.dnsCacheConfig, "dnsCacheConfig");
  within("dnsCacheConfig", () => compileDnsCache(cache));
  const port = unsigned(json.portValue, "portValue") ?? defaultDynamicPort;
  if (port === 0 || port > 65_535) throw new ConfigError("portValue", `${port} is not a port`);
  return port;
};

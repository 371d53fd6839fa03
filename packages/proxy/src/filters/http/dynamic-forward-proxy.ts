/**
 * Requests to whichever host they name. The cluster looks names up itself, and has the request wait meanwhile; what is
 * left to the filter is the name that a route gives in place of the request's.
 */
import type {
  FilterConfigJson,
  PerRouteConfigJson,
} from "@weft/xds/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy";
import { atMostOne, refuseOthers, within } from "../../compile/fields.ts";
import { compileDnsCache } from "../../dns/compile-dynamic-cluster.ts";
import type { HttpFilterKind } from "./filter.ts";

const filterName = "envoy.filters.http.dynamic_forward_proxy";

interface Rewrite {
  readonly literal: string;
  readonly header: string;
}

export const dynamicForwardProxy: HttpFilterKind = {
  name: filterName,
  typeName: "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
  configure: (raw) => {
    const json = raw as FilterConfigJson;
    refuseOthers(json, "DynamicForwardProxyFilter", "", ["dnsCacheConfig", "subClusterConfig", "saveUpstreamAddress"]);
    atMostOne(json, ["dnsCacheConfig", "subClusterConfig"], "");
    // The cache is the cluster's, which says the same of it.
    const { dnsCacheConfig: cache } = json;
    if (cache) within("dnsCacheConfig", () => compileDnsCache(cache));
    return () => ({
      onRequest: (exchange) => {
        const rewrite = exchange.route?.filterConfig.get(filterName) as Rewrite | undefined;
        if (typeof rewrite !== "object") return undefined;
        const { request } = exchange;
        const name = rewrite.literal || (request.headers.get(rewrite.header) ?? "");
        if (name !== "") (request as { authority: string }).authority = name;
        return undefined;
      },
    });
  },
  configureRoute: (raw) => {
    const json = raw as PerRouteConfigJson;
    refuseOthers(json, "DynamicForwardProxyRoute", "", ["hostRewriteLiteral", "hostRewriteHeader"]);
    atMostOne(json, ["hostRewriteLiteral", "hostRewriteHeader"], "");
    return { literal: json.hostRewriteLiteral ?? "", header: (json.hostRewriteHeader ?? "").toLowerCase() };
  },
};

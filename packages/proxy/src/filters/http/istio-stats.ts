/** Istio's standard request metrics. What they are is in observe/istio-metrics.ts; this is their place in a chain. */
import { refuseOthers } from "../../compile/fields.ts";
import { createIstioMetrics } from "../../observe/istio-metrics.ts";
import type { HttpFilterKind } from "./filter.ts";

interface StatsConfig {
  readonly reporter?: unknown;
  readonly disableHostHeaderFallback?: boolean;
}

export const istioStats: HttpFilterKind = {
  name: "istio.stats",
  typeName: "stats.PluginConfig",
  aliases: ["envoy.filters.http.istio_stats", "istio_stats"],
  configure(raw) {
    const json = raw as StatsConfig;
    // Intervals and rotation pace Istio's own implementation; metric overrides and the gateway reporter are refused.
    refuseOthers(json as object & Record<string, unknown>, "IstioStats", "", [
      "debug",
      "maxPeerCacheSize",
      "statPrefix",
      "fieldSeparator",
      "valueSeparator",
      "disableHostHeaderFallback",
      "tcpReportingDuration",
      "rotationInterval",
      "gracefulDeletionInterval",
    ]);
    return ({ stats, node, clock }) => {
      const metrics = createIstioMetrics({
        stats,
        node,
        clock,
        hostHeaderFallback: json.disableHostHeaderFallback !== true,
      });
      return { onEnd: metrics.request };
    };
  },
};

/** How many proxies there are over all control planes, for those who watch. */
import type { Metrics } from "../metrics/metrics.ts";
import type { SharedProxies } from "./shared-proxies.ts";

export const collectProxyMetrics = (metrics: Metrics, { everywhere }: Pick<SharedProxies, "everywhere">): void => {
  metrics.collect(
    "weft_proxies_everywhere",
    "gauge",
    "Proxies connected to the control planes that share the store, by whether they acknowledged all they were sent.",
    () => {
      const { proxies, synced } = everywhere();
      return [
        { labels: { state: "synced" }, value: synced },
        { labels: { state: "waiting" }, value: proxies - synced },
      ];
    },
  );
  metrics.collect(
    "weft_proxies_everywhere_age_seconds",
    "gauge",
    "Age of the oldest word of another control plane that is counted in weft_proxies_everywhere.",
    () => [{ value: everywhere().oldestMs / 1000 }],
  );
  metrics.collect(
    "weft_proxies_everywhere_silent",
    "gauge",
    "Control planes that are there and whose proxies are not counted in weft_proxies_everywhere.",
    () => [{ value: everywhere().silent }],
  );
};

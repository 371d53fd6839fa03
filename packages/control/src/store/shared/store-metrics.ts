/** How the shared store is, for those who watch. */
import type { Metrics } from "../../metrics/metrics.ts";
import type { SharedStore } from "./shared-store.ts";

export const collectStoreMetrics = (metrics: Metrics, store: Pick<SharedStore, "status">): void => {
  const status = () => store.status();
  metrics.collect("weft_store_connected", "gauge", "Whether the shared store is followed and takes changes.", () => [
    { value: status().connected ? 1 : 0 },
  ]);
  metrics.collect(
    "weft_store_age_seconds",
    "gauge",
    "Age of the view of the shared store; 0 while it is followed.",
    () => [{ value: status().ageMs / 1000 }],
  );
  metrics.collect("weft_store_revision", "gauge", "Revision of the shared store that is in force here.", () => [
    { value: status().revision },
  ]);
  metrics.collect(
    "weft_store_gone_back_total",
    "counter",
    "How often the shared store was found in an older state than it was known in here.",
    () => [{ value: status().goneBack?.times ?? 0 }],
  );
  metrics.collect(
    "weft_store_gone_back_records_total",
    "counter",
    "Records that a store which had gone back lacked: written back, or overtaken by what others wrote; and those taken out of it again.",
    () => {
      const { written = 0, overtaken = 0, takenOut = 0 } = status().goneBack ?? {};
      return [
        { labels: { result: "written" }, value: written },
        { labels: { result: "overtaken" }, value: overtaken },
        { labels: { result: "taken_out" }, value: takenOut },
      ];
    },
  );
};

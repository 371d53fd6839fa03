/** Istio's metrics of the push side, under the names its dashboards ask for. */
import type { Counter, Gauge, Histogram, Metrics } from "../metrics/metrics.ts";

export interface PushMetrics {
  readonly pushes: Counter;
  readonly rejects: Counter;
  readonly convergence: Histogram;
  readonly generation: Histogram;
  readonly sentBytes: Counter;
  readonly connected: Gauge;
  readonly refused: Counter;
  readonly badResources: Gauge;
  readonly tooLarge: Counter;
}

const secondsBounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

export const createPushMetrics = (metrics: Metrics): PushMetrics => ({
  pushes: metrics.counter("pilot_xds_pushes", "Responses sent to proxies, by type.", ["type"]),
  rejects: metrics.counter("pilot_total_xds_rejects", "Responses that proxies rejected, by type.", ["type"]),
  convergence: metrics.histogram(
    "pilot_proxy_convergence_time",
    "Seconds from a change to a proxy's acknowledgement of what follows from it.",
    secondsBounds,
  ),
  generation: metrics.histogram("pilot_xds_push_time", "Seconds to generate and hand out one push.", secondsBounds),
  sentBytes: metrics.counter("pilot_xds_sent_bytes_total", "Bytes of responses, by type.", ["type"]),
  connected: metrics.gauge("pilot_xds", "Proxies connected."),
  refused: metrics.counter("pilot_xds_refused_total", "Streams refused, by reason.", ["reason"]),
  tooLarge: metrics.counter("weft_xds_too_large_total", "Configuration too large for its proxy, by type.", ["type"]),
  badResources: metrics.gauge("pilot_xds_bad_resources", "Resources left at their last good form."),
});

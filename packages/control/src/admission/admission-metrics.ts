/** What webhooks count, under Istio's names. */
import type { Counter, Histogram, Metrics } from "../metrics/metrics.ts";

export interface AdmissionMetrics {
  readonly injections: Counter;
  readonly injected: Counter;
  /** Labels: why. */
  readonly left: Counter;
  readonly injectionFailed: Counter;
  readonly injectionSeconds: Histogram;
  readonly valid: Counter;
  readonly invalid: Counter;
  readonly unreadable: Counter;
}

const secondsBounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];
const resourceLabels = ["group", "version", "resource"];

export const admissionMetrics = (metrics: Metrics): AdmissionMetrics => ({
  injections: metrics.counter("sidecar_injection_requests_total", "Pods asked about for injection."),
  injected: metrics.counter("sidecar_injection_success_total", "Pods given a sidecar."),
  left: metrics.counter("sidecar_injection_skip_total", "Pods left without a sidecar."),
  injectionFailed: metrics.counter("sidecar_injection_failure_total", "Pods refused, or not injected for an error."),
  injectionSeconds: metrics.histogram(
    "sidecar_injection_time_seconds",
    "Seconds to decide about a pod.",
    secondsBounds,
  ),
  valid: metrics.counter("galley_validation_passed", "Objects found valid.", resourceLabels),
  invalid: metrics.counter("galley_validation_failed", "Objects refused.", resourceLabels),
  unreadable: metrics.counter("galley_validation_http_error", "Reviews that could not be read.", ["path"]),
});

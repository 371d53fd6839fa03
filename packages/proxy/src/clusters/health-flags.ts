import { checkFlags, type Host } from "./host.ts";

/** What keeps a host from full use, in Envoy's words and order; `healthy` when nothing does. */
export const healthFlags = ({ health, ejected, edsStatus, counts }: Host): string => {
  const { checked } = counts;
  const drains = edsStatus === "DRAINING";
  const words: readonly (readonly [word: string, holds: boolean])[] = [
    ["/failed_active_hc", (checked & checkFlags.failed) !== 0],
    ["/failed_outlier_check", ejected],
    ["/failed_eds_health", health === "unhealthy" && !drains],
    ["/degraded_active_hc", (checked & checkFlags.degraded) !== 0],
    ["/degraded_eds_health", health === "degraded"],
    ["/pending_dynamic_removal", (checked & checkFlags.leaving) !== 0],
    ["/pending_active_hc", (checked & checkFlags.pending) !== 0],
    ["/excluded_via_immediate_hc_fail", (checked & checkFlags.excluded) !== 0],
    ["/active_hc_timeout", (checked & checkFlags.timeout) !== 0],
    ["/eds_status_draining", drains],
  ];
  const flags = words.filter(([, holds]) => holds).map(([word]) => word);
  return flags.length === 0 ? "healthy" : flags.join("");
};

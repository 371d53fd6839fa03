import type { Random } from "@weft/core/world";
import type { CheckIntervals } from "./check-settings.ts";
import type { Verdict } from "./check-state.ts";

const baseMs = (intervals: CheckIntervals, { healthy, transition }: Verdict, hasTraffic: boolean): number => {
  const pending = transition === "pending";
  if (!hasTraffic) return healthy && !pending ? intervals.noTrafficHealthyMs : intervals.noTrafficMs;
  if (healthy) return pending ? intervals.healthyEdgeMs : intervals.intervalMs;
  return pending ? intervals.unhealthyEdgeMs : intervals.unhealthyMs;
};

/** How long after a result the host is checked again; never at once. */
export const nextCheckMs = (
  intervals: CheckIntervals,
  verdict: Verdict,
  hasTraffic: boolean,
  random: Random,
): number => {
  const base = baseMs(intervals, verdict, hasTraffic);
  const share = (intervals.jitterPercent * base) / 100;
  const jitter = Math.floor(random() * share) + Math.floor(random() * intervals.jitterMs);
  return Math.max(1, base + jitter);
};

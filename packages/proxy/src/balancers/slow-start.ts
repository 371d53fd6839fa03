/** A host that is new, or healthy again, gets less at first: its share grows over a window. */
import { ConfigError } from "@weft/core/config-error";
import type { SlowStartConfigJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/common/v3/common";
import type { Host } from "../clusters/host.ts";
import { durationMs, member, percent, refuseOthers, required } from "../compile/fields.ts";
import type { BalancerTools } from "./balancer.ts";

export interface SlowStart {
  readonly windowMs: number;
  /** Above 1 the share grows faster at first. */
  readonly aggression: number;
  /** The least part of its weight that a host gets. */
  readonly least: number;
}

export const compileSlowStart = (json: SlowStartConfigJson | undefined, at: string): SlowStart | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "SlowStartConfig", at, ["slowStartWindow", "aggression", "minWeightPercent"]);
  const windowAt = member(at, "slowStartWindow");
  const windowMs = durationMs(required(json.slowStartWindow, windowAt), windowAt) ?? 0;
  const aggression = json.aggression?.defaultValue ?? 1;
  if (typeof aggression !== "number" || !(aggression > 0)) {
    throw new ConfigError(member(at, "aggression"), "must be greater than 0");
  }
  const least = percent(json.minWeightPercent?.value, member(at, "minWeightPercent"));
  // A percentage that is there but says nothing is 0, as a message's absent number is.
  return { windowMs, aggression, least: (least ?? (json.minWeightPercent ? 0 : 10)) / 100 };
};

/** What part of its weight a host gets now. */
export const slowStartShare = (
  { healthySinceMs }: Host,
  { windowMs, aggression, least }: SlowStart,
  nowMs: number,
): number => {
  const forMs = nowMs - healthySinceMs;
  if (!(forMs < windowMs)) return 1;
  const time = Math.max(1, forMs) / windowMs;
  return Math.max(aggression === 1 ? time : time ** (1 / aggression), least);
};

/** Whether any of them has less than its full share, so that shares must be asked again at every pick. */
export const anyStarting = (
  hosts: readonly Host[],
  slowStart: SlowStart | undefined,
  { nowMs }: BalancerTools,
): boolean => {
  if (!slowStart || !nowMs) return false;
  const now = nowMs();
  return hosts.some(({ healthySinceMs }) => now - healthySinceMs <= slowStart.windowMs);
};

/** The weight function of a balancer: what `weigh` says, less while the host is starting. */
export const withSlowStart = (
  weigh: (host: Host) => number,
  slowStart: SlowStart | undefined,
  { nowMs }: BalancerTools,
): ((host: Host) => number) =>
  slowStart && nowMs ? (host) => weigh(host) * slowStartShare(host, slowStart, nowMs()) : weigh;

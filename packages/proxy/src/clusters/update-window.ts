/**
 * When a change of hosts' health that checks or outlier detection found is minded by whoever picks. Without a window that
 * is at once. With one, a change that follows another within the window waits, and all that wait are minded together when
 * it has passed since the first of them. As Envoy, which lets assignments (EDS) take effect at once in any case.
 */
import type { Counter, Stats } from "../observe/stats.ts";

/** Of all clusters of the process, under Envoy's names. */
export interface UpdateCounters {
  /** Updates that took effect at once. */
  readonly updated: Counter;
  /** Updates at the end of a window, each of one or more that waited. */
  readonly merged: Counter;
  /** Times that something waited and took effect with what came later. */
  readonly cancelled: Counter;
  /** Changes of health that came when no window was open. */
  readonly outOfWindow: Counter;
}

export const updateCounters = (stats: Pick<Stats, "counter">): UpdateCounters => ({
  updated: stats.counter("cluster_manager.cluster_updated"),
  merged: stats.counter("cluster_manager.cluster_updated_via_merge"),
  cancelled: stats.counter("cluster_manager.update_merge_cancelled"),
  outOfWindow: stats.counter("cluster_manager.update_out_of_merge_window"),
});

export interface UpdateWindow {
  /** Health of hosts has changed. True: that is to be minded now. False: it waits until `due` says so. */
  health(nowMs: number): boolean;
  /** Hosts have come or gone by name: what waited is minded with that. */
  members(nowMs: number): void;
  /** An assignment has taken effect. */
  assigned(): void;
  /** Whether what waited is to be minded now that time has passed. */
  due(nowMs: number): boolean;
  /** When `due` will say so; Infinity while nothing waits. */
  deadlineMs(): number;
}

const never = Number.POSITIVE_INFINITY;

/** With a `windowMs` of 0 nothing waits. Nothing is counted where `counters` is absent. */
export const createUpdateWindow = (windowMs: number, counters: UpdateCounters | undefined): UpdateWindow => {
  let updatedAtMs = -never;
  let deadlineMs = never;

  const takeEffect = (nowMs: number): void => {
    if (deadlineMs !== never) counters?.cancelled.add(1);
    deadlineMs = never;
    counters?.updated.add(1);
    updatedAtMs = nowMs;
  };

  return {
    health: (nowMs) => {
      if (windowMs !== 0 && nowMs - updatedAtMs <= windowMs) {
        if (deadlineMs === never) deadlineMs = nowMs + windowMs;
        return false;
      }
      if (windowMs !== 0) counters?.outOfWindow.add(1);
      takeEffect(nowMs);
      return true;
    },
    members: takeEffect,
    assigned: () => counters?.updated.add(1),
    due: (nowMs) => {
      if (nowMs < deadlineMs) return false;
      deadlineMs = never;
      updatedAtMs = nowMs;
      counters?.merged.add(1);
      return true;
    },
    deadlineMs: () => deadlineMs,
  };
};

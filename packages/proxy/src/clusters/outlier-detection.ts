/** Passive health: hosts that fail are left out for a while. A machine without timers of its own: it is ticked. */
import type { Outcome } from "./cluster.ts";
import type { Host } from "./host.ts";
import { createEjection, type Ejection, type EjectionTools, OutlierRecord, recordOf } from "./outlier-ejection.ts";
import { failurePercentageOutliers, type HostRate, successRateOutliers } from "./outlier-rates.ts";
import type { OutlierSettings, Threshold } from "./outlier-settings.ts";

export interface OutlierDetection {
  readonly report: (host: Host, outcome: Outcome, nowMs: number) => void;
  /** Returns hosts whose time is over, and looks for outliers by rate; does nothing before the interval has passed. */
  readonly tick: (nowMs: number) => void;
  /** When `tick` has something to do. */
  readonly deadlineMs: () => number;
  /** A host has left the cluster. */
  readonly forget: (host: Host) => void;
}

export interface OutlierTools extends EjectionTools {
  readonly nowMs: number;
}

/** What Envoy counts a local failure as when it is not told apart from the host's own answers. */
const statusOfLocal = { "connect-failure": 503, "connect-timeout": 503, timeout: 504, reset: 503 } as const;

/** Counts outcomes in a row; at a threshold the row ends, with or without an ejection. */
const createRows = (settings: OutlierSettings, { eject }: Ejection) => {
  const next = (row: number, { count, enforcing }: Threshold, host: Host, nowMs: number): number => {
    if (row + 1 < count) return row + 1;
    eject(host, enforcing, nowMs);
    return 0;
  };
  return {
    status: (host: Host, code: number, nowMs: number): void => {
      const record = recordOf(host);
      record.total++;
      if (code < 500) {
        record.success++;
        record.consecutive5xx = 0;
        record.consecutiveGateway = 0;
        return;
      }
      const gateway = code >= 502 && code <= 504;
      record.consecutiveGateway = gateway
        ? next(record.consecutiveGateway, settings.consecutiveGateway, host, nowMs)
        : 0;
      record.consecutive5xx = next(record.consecutive5xx, settings.consecutive5xx, host, nowMs);
    },
    localFailure: (host: Host, nowMs: number): void => {
      const record = recordOf(host);
      record.localTotal++;
      record.consecutiveLocal = next(record.consecutiveLocal, settings.consecutiveLocal, host, nowMs);
    },
    localSuccess: (host: Host): void => {
      const record = recordOf(host);
      record.localTotal++;
      record.localSuccess++;
      record.consecutiveLocal = 0;
    },
  };
};

/** Ejects by the rates of an interval that is over. */
const judge = (
  settings: OutlierSettings,
  eject: Ejection["eject"],
  { rates, local, nowMs }: { rates: readonly HostRate[]; local: boolean; nowMs: number },
): void => {
  const { successRate, failurePercentage } = settings;
  const bySuccess = local ? successRate.enforcingLocal : successRate.enforcing;
  const byFailure = local ? failurePercentage.enforcingLocal : failurePercentage.enforcing;
  if (bySuccess > 0) for (const host of successRateOutliers(rates, successRate)) eject(host, bySuccess, nowMs);
  if (byFailure > 0) {
    for (const host of failurePercentageOutliers(rates, failurePercentage)) eject(host, byFailure, nowMs);
  }
};

export const createOutlierDetection = (settings: OutlierSettings, tools: OutlierTools): OutlierDetection => {
  const ejection = createEjection(settings, tools);
  const rows = createRows(settings, ejection);
  const { counters } = tools;
  let nextSweepMs = tools.nowMs + settings.intervalMs;

  const sweep = (nowMs: number): void => {
    const external: HostRate[] = [];
    const local: HostRate[] = [];
    for (const host of tools.hosts()) {
      const record = host.outlier;
      if (!(record instanceof OutlierRecord)) continue;
      ejection.release(host, record, nowMs);
      if (!host.ejected) {
        external.push({ host, total: record.total, success: record.success });
        local.push({ host, total: record.localTotal, success: record.localSuccess });
      }
      record.total = 0;
      record.success = 0;
      record.localTotal = 0;
      record.localSuccess = 0;
    }
    judge(settings, ejection.eject, { rates: external, local: false, nowMs });
    if (settings.split) judge(settings, ejection.eject, { rates: local, local: true, nowMs });
  };

  return {
    report: (host, outcome, nowMs) => {
      if (outcome.kind === "response") rows.status(host, outcome.status, nowMs);
      else if (outcome.kind === "connected") {
        if (settings.split) rows.localSuccess(host);
      } else if (settings.split) rows.localFailure(host, nowMs);
      else rows.status(host, statusOfLocal[outcome.cause], nowMs);
    },
    tick: (nowMs) => {
      if (nowMs < nextSweepMs) return;
      nextSweepMs = nowMs + settings.intervalMs;
      sweep(nowMs);
    },
    deadlineMs: () => nextSweepMs,
    forget: (host) => {
      if (host.ejected) counters.outlierDetectionEjectionsActive--;
      host.ejected = false;
      host.outlier = undefined;
    },
  };
};

/** Passive health: hosts that fail are left out for a while. A machine without timers of its own: it is ticked. */
import type { Outcome } from "./cluster.ts";
import type { Host } from "./host.ts";
import { createEjection, type Ejection, type EjectionRule, type EjectionTools, takeBack } from "./outlier-ejection.ts";
import { failurePercentageOutliers, type HostRate, successRateOutliers } from "./outlier-rates.ts";
import { type Row, rows } from "./outlier-record.ts";
import type { OutlierSettings, Threshold } from "./outlier-settings.ts";

export interface OutlierDetection {
  readonly report: (host: Host, outcome: Outcome, nowMs: number) => void;
  /** Returns hosts whose time is over, and looks for outliers by rate; does nothing before the interval has passed. */
  readonly tick: (nowMs: number) => void;
  /** When `tick` has something to do. */
  readonly deadlineMs: () => number;
  /** A host has passed an active check. */
  readonly passed: (host: Host) => void;
  /** A host has left the cluster. */
  readonly forget: (host: Host) => void;
}

export interface OutlierTools extends EjectionTools {
  readonly nowMs: number;
  /** False: another thread does the work of `tick`. */
  readonly sweeps: boolean;
}

/** What Envoy counts a local failure as when it is not told apart from the host's own answers. */
const statusOfLocal = { "connect-failure": 503, "connect-timeout": 503, timeout: 504, reset: 503 } as const;

/** Counts outcomes in a row; at a threshold the row ends, with or without an ejection. */
const createRows = (settings: OutlierSettings, { eject }: Ejection) => {
  const gateway = { ...settings.consecutiveGateway, cause: "ConsecutiveGatewayFailure" } as const;
  const any5xx = { ...settings.consecutive5xx, cause: "Consecutive5xx" } as const;
  const local = { ...settings.consecutiveLocal, cause: "ConsecutiveLocalOriginFailure" } as const;
  const next = (row: Row, rule: Threshold & EjectionRule, host: Host, nowMs: number): void => {
    const record = host.counts.outlier;
    if (record.lengthen(row) < rule.count) return;
    record.end(row);
    eject(host, rule, nowMs);
  };
  return {
    status: (host: Host, code: number, nowMs: number): void => {
      const record = host.counts.outlier;
      record.count(false, code < 500);
      if (code < 500) {
        record.end(rows.any5xx);
        record.end(rows.gateway);
        return;
      }
      if (code >= 502 && code <= 504) next(rows.gateway, gateway, host, nowMs);
      else record.end(rows.gateway);
      next(rows.any5xx, any5xx, host, nowMs);
    },
    localFailure: (host: Host, nowMs: number): void => {
      host.counts.outlier.count(true, false);
      next(rows.local, local, host, nowMs);
    },
    localSuccess: (host: Host): void => {
      const record = host.counts.outlier;
      record.count(true, true);
      record.end(rows.local);
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
  const bySuccess: EjectionRule = local
    ? { cause: "LocalOriginSuccessRate", enforcing: successRate.enforcingLocal }
    : { cause: "SuccessRate", enforcing: successRate.enforcing };
  const byFailure: EjectionRule = local
    ? { cause: "LocalOriginFailurePercentage", enforcing: failurePercentage.enforcingLocal }
    : { cause: "FailurePercentage", enforcing: failurePercentage.enforcing };
  if (bySuccess.enforcing > 0)
    for (const host of successRateOutliers(rates, successRate)) eject(host, bySuccess, nowMs);
  if (byFailure.enforcing > 0)
    for (const host of failurePercentageOutliers(rates, failurePercentage)) eject(host, byFailure, nowMs);
};

export const createOutlierDetection = (settings: OutlierSettings, tools: OutlierTools): OutlierDetection => {
  const ejection = createEjection(settings, tools);
  const outcomes = createRows(settings, ejection);
  let nextSweepMs = tools.nowMs + settings.intervalMs;

  const sweep = (nowMs: number): void => {
    const external: HostRate[] = [];
    const local: HostRate[] = [];
    for (const host of tools.hosts()) {
      const record = host.counts.outlier;
      ejection.release(host, nowMs);
      const answers = { host, ...record.takeRates(false) };
      const connections = { host, ...record.takeRates(true) };
      if (record.ejected) continue;
      external.push(answers);
      local.push(connections);
    }
    judge(settings, ejection.eject, { rates: external, local: false, nowMs });
    if (settings.split) judge(settings, ejection.eject, { rates: local, local: true, nowMs });
  };

  return {
    report: (host, outcome, nowMs) => {
      if (outcome.kind === "response") outcomes.status(host, outcome.status, nowMs);
      else if (outcome.kind === "connected") {
        if (settings.split) outcomes.localSuccess(host);
      } else if (settings.split) outcomes.localFailure(host, nowMs);
      else outcomes.status(host, statusOfLocal[outcome.cause], nowMs);
    },
    tick: (nowMs) => {
      if (!tools.sweeps || nowMs < nextSweepMs) return;
      nextSweepMs = nowMs + settings.intervalMs;
      sweep(nowMs);
    },
    deadlineMs: () => (tools.sweeps ? nextSweepMs : Number.POSITIVE_INFINITY),
    passed: (host) => {
      if (settings.checksUneject && host.ejected) ejection.end(host);
    },
    forget: (host) => takeBack(host, tools),
  };
};

/** Putting hosts out and taking them back, within what the settings allow. */
import type { Random } from "@weft/core/world";
import type { ClusterCounters } from "./cluster.ts";
import type { Host } from "./host.ts";
import type { OutlierSettings } from "./outlier-settings.ts";

/** What outlier detection knows of one host. */
export class OutlierRecord {
  consecutive5xx = 0;
  consecutiveGateway = 0;
  consecutiveLocal = 0;
  total = 0;
  success = 0;
  localTotal = 0;
  localSuccess = 0;
  ejectedAtMs = 0;
  jitterMs = 0;
  /** How many base times the next ejection lasts; falls by one per interval without one. */
  ejections = 0;
}

export const recordOf = (host: Host): OutlierRecord => {
  if (host.outlier instanceof OutlierRecord) return host.outlier;
  const record = new OutlierRecord();
  host.outlier = record;
  return record;
};

export interface Ejection {
  /** Puts the host out by a chance of so many percent. */
  readonly eject: (host: Host, enforcing: number, nowMs: number) => void;
  /** Takes the host back when its time is over; counts a good interval otherwise. */
  readonly release: (host: Host, record: OutlierRecord, nowMs: number) => void;
}

export interface EjectionTools {
  readonly hosts: () => readonly Host[];
  readonly counters: ClusterCounters;
  readonly random: Random;
  /** An ejection began or ended. */
  readonly onChange: () => void;
}

export const createEjection = (settings: OutlierSettings, tools: EjectionTools): Ejection => {
  const { counters, random, onChange } = tools;

  const mayEject = (): boolean => {
    const active = counters.outlierDetectionEjectionsActive;
    if (settings.alwaysEjectOne && active === 0) return true;
    return (100 * (active + 1)) / tools.hosts().length <= settings.maxEjectionPercent;
  };

  return {
    eject: (host, enforcing, nowMs) => {
      if (host.ejected || random() * 100 >= enforcing || !mayEject()) return;
      const record = recordOf(host);
      host.ejected = true;
      record.ejectedAtMs = nowMs;
      record.jitterMs = settings.jitterMs === 0 ? 0 : Math.floor(random() * settings.jitterMs);
      // Times beyond the longest ejection change nothing, so the count stops there.
      if (record.ejections * settings.baseEjectionMs < settings.maxEjectionMs) record.ejections++;
      counters.outlierDetectionEjectionsActive++;
      counters.outlierDetectionEjectionsTotal++;
      onChange();
    },
    release: (host, record, nowMs) => {
      if (!host.ejected) {
        if (record.ejections > 0) record.ejections--;
        return;
      }
      const lastsMs = Math.min(settings.baseEjectionMs * record.ejections, settings.maxEjectionMs) + record.jitterMs;
      if (nowMs - record.ejectedAtMs < lastsMs) return;
      host.ejected = false;
      record.consecutive5xx = 0;
      record.consecutiveGateway = 0;
      record.consecutiveLocal = 0;
      counters.outlierDetectionEjectionsActive--;
      onChange();
    },
  };
};

/** Putting hosts out and taking them back, within what the settings allow. */
import type { Random } from "@weft/core/world";
import type { CircuitLoad, ClusterCounters } from "./cluster.ts";
import type { Host } from "./host.ts";
import { rows } from "./outlier-record.ts";
import type { OutlierSettings } from "./outlier-settings.ts";

export interface Ejection {
  /** Puts the host out by the rule's chance. */
  readonly eject: (host: Host, rule: EjectionRule, nowMs: number) => void;
  /** Takes it back now. */
  readonly end: (host: Host) => void;
  /** Takes the host back when its time is over; counts a good interval otherwise. */
  readonly release: (host: Host, nowMs: number) => void;
}

/** Why hosts are put out; counters are named by it. */
export type EjectionCause =
  | "Consecutive5xx"
  | "ConsecutiveGatewayFailure"
  | "ConsecutiveLocalOriginFailure"
  | "SuccessRate"
  | "LocalOriginSuccessRate"
  | "FailurePercentage"
  | "LocalOriginFailurePercentage";

export interface EjectionRule {
  readonly cause: EjectionCause;
  /** Percent of chances to eject. */
  readonly enforcing: number;
}

export interface EjectionTools {
  readonly hosts: () => readonly Host[];
  readonly counters: ClusterCounters;
  readonly load: CircuitLoad;
  readonly random: Random;
  /** An ejection began or ended. */
  readonly onChange: () => void;
}

/** Ends an ejection, if there is one and no other thread has ended it. */
export const takeBack = (host: Host, { counters, load }: Pick<EjectionTools, "counters" | "load">): void => {
  if (!host.ejected || !host.counts.outlier.tryReturn()) return;
  load.giveEjection();
  counters.outlierDetectionEjectionsActive--;
};

export const createEjection = (settings: OutlierSettings, tools: EjectionTools): Ejection => {
  const { counters, load, random, onChange } = tools;

  const ejectionsMax = (): number => {
    const max = Math.floor((settings.maxEjectionPercent * tools.hosts().length) / 100);
    return settings.alwaysEjectOne ? Math.max(1, max) : max;
  };

  const end = (host: Host): void => {
    for (const row of Object.values(rows)) host.counts.outlier.end(row);
    takeBack(host, tools);
    onChange();
  };

  return {
    eject: (host, { cause, enforcing }, nowMs) => {
      const record = host.counts.outlier;
      if (record.ejected) return;
      counters[`outlierDetectionEjectionsDetected${cause}`]++;
      if (!load.takeEjection(ejectionsMax())) {
        counters.outlierDetectionEjectionsOverflow++;
        return;
      }
      if (cause === "Consecutive5xx" || cause === "SuccessRate") counters.outlierDetectionEjectionsTotal++;
      if (random() * 100 >= enforcing) {
        load.giveEjection();
        return;
      }
      // The times come first: whoever sees the host out must not find those of its last ejection.
      record.ejectedAtMs = nowMs;
      record.jitterMs = settings.jitterMs === 0 ? 0 : Math.floor(random() * settings.jitterMs);
      if (!record.tryEject()) {
        load.giveEjection();
        return;
      }
      // Times beyond the longest ejection change nothing, so the count stops there.
      if (record.ejections * settings.baseEjectionMs < settings.maxEjectionMs) record.ejections++;
      counters.outlierDetectionEjectionsActive++;
      counters.outlierDetectionEjectionsEnforcedTotal++;
      counters[`outlierDetectionEjectionsEnforced${cause}`]++;
      onChange();
    },
    end,
    release: (host, nowMs) => {
      const record = host.counts.outlier;
      if (!record.ejected) {
        if (record.ejections > 0) record.ejections--;
        return;
      }
      const lastsMs = Math.min(settings.baseEjectionMs * record.ejections, settings.maxEjectionMs) + record.jitterMs;
      if (nowMs - record.ejectedAtMs < lastsMs) return;
      end(host);
    },
  };
};

/**
 * Where the counts of clusters and hosts are kept. A proxy that is one thread keeps them in objects of its own; several
 * threads keep those that limits and ejections are judged by in memory they share.
 */
import { LocalLoad } from "./circuit-load.ts";
import type { CircuitLoad, ClusterCounters } from "./cluster.ts";
import { createClusterCounters } from "./counters.ts";
import type { HostStats } from "./host.ts";
import { LocalOutlierRecord, type OutlierRecord } from "./outlier-record.ts";

/** The counts of one host. */
export interface HostCounts {
  readonly stats: HostStats;
  /** Requests and TCP connections in flight now. */
  readonly active: number;
  /** Connections of other threads. */
  readonly connectionsElsewhere: number;
  enter(): void;
  leave(): void;
  readonly ejected: boolean;
  /** What active checks found, as `checkFlags`; whoever checks writes it. */
  checked: number;
  /** Sets and clears some of those flags and leaves the others as they are, whoever else changes them. */
  mark(set: number, clear: number): void;
  readonly outlier: OutlierRecord;
  /** The host has left its cluster; what is in flight is still counted to its end. */
  release(): void;
}

/** The counts of one cluster. */
export interface ClusterCounts {
  readonly load: CircuitLoad;
  /** What requests of priority HIGH use; kept from the first time it is asked for. */
  high(): CircuitLoad;
  readonly counters: ClusterCounters;
  /** This thread looks for outliers by rate and takes hosts back when their time is over. */
  readonly sweeps: boolean;
  /** Grows whenever a host was ejected or taken back, by whichever thread; absent where there is only one. */
  readonly health: { readonly epoch: number; bump(): void } | undefined;
  /** `key` tells hosts apart that are reached in different ways. */
  host(address: string, key: string): HostCounts;
  release(): void;
}

export type CountsSource = (cluster: string) => ClusterCounts;

export const createHostStats = (): HostStats => ({
  cxTotal: 0,
  cxActive: 0,
  cxConnectFail: 0,
  rqTotal: 0,
  rqSuccess: 0,
  rqError: 0,
  rqTimeout: 0,
  rqPendingActive: 0,
});

class LocalHostCounts implements HostCounts {
  readonly stats = createHostStats();
  readonly connectionsElsewhere = 0;
  active = 0;
  checked = 0;
  private record: LocalOutlierRecord | undefined = undefined;

  get ejected(): boolean {
    return this.record?.ejected === true;
  }
  get outlier(): OutlierRecord {
    this.record ??= new LocalOutlierRecord();
    return this.record;
  }
  mark(set: number, clear: number): void {
    this.checked = (this.checked & ~clear) | set;
  }
  enter(): void {
    this.active++;
  }
  leave(): void {
    this.active--;
  }
  release(): void {}
}

export const localHostCounts = (): HostCounts => new LocalHostCounts();

/** Counts in objects of this thread. */
export const localCounts: CountsSource = () => {
  let high: CircuitLoad | undefined;
  return {
    load: new LocalLoad(),
    high: () => {
      high ??= new LocalLoad();
      return high;
    },
    counters: createClusterCounters(),
    sweeps: true,
    health: undefined,
    host: localHostCounts,
    release: () => undefined,
  };
};

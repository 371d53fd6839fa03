/**
 * The counts of clusters and hosts for a proxy of several threads. What limits and ejections are judged by is one
 * number for all threads; statistics are kept by each thread for itself and added when read.
 */
import { type Breaker, breakers } from "../clusters/circuit-load.ts";
import type { CircuitLoad, ClusterCounters } from "../clusters/cluster.ts";
import { createClusterCounters } from "../clusters/counters.ts";
import {
  type ClusterCounts,
  type CountsSource,
  createHostStats,
  type HostCounts,
  localCounts,
  localHostCounts,
} from "../clusters/counts.ts";
import type { HostStats } from "../clusters/host.ts";
import { type LaneRecord, namesOf, ownRecordClass, summedRecordClass } from "./lane-record.ts";
import { ejectionCells, SharedOutlierRecord } from "./shared-outlier.ts";
import {
  createTableMemory,
  type LaneCells,
  openSharedTable,
  type SharedTable,
  type TableMemory,
} from "./shared-table.ts";

/** Clusters and hosts there is room for; further ones are counted by each thread alone, which is logged. */
export const sharedClustersMax = 8_192;
export const sharedHostsMax = 65_536;

/** The lane of the main thread, which serves no requests: it sweeps, and reads what all have counted. */
export const mainLane = 0;

export interface CountsMemory {
  readonly clusters: TableMemory;
  readonly hosts: TableMemory;
}

// Shared cells of a cluster; those of breakers have the breaker's number.
const ejectionsCell = 4;
const epochCell = 5;
const clusterCells = 6;

/** Shared cell of a host beside those of outlier detection. */
const activeCell = ejectionCells;

// Lane cells: the thread's part of what is shared comes first, statistics follow.
const clusterParts = Object.values(breakers).length;
const hostParts = 1;
const counterNames = namesOf(createClusterCounters());
const hostStatNames = namesOf(createHostStats());

const cellsNamed = <T extends string>(names: readonly T[], wanted: readonly T[], from: number): readonly number[] =>
  wanted.map((name) => names.indexOf(name) + from);

const cellsOfClusters: LaneCells = {
  parts: Object.values(breakers).map((breaker) => [breaker, breaker] as const),
  passing: cellsNamed(
    counterNames,
    ["upstreamCxActive", "upstreamRqActive", "upstreamRqPendingActive"] satisfies (keyof ClusterCounters)[],
    clusterParts,
  ),
};
const cellsOfHosts: LaneCells = {
  parts: [[0, activeCell]],
  passing: cellsNamed(hostStatNames, ["cxActive", "rqPendingActive"] satisfies (keyof HostStats)[], hostParts),
};

/** Every thread knows the same hosts, and would count a change of them each. */
const saidByAll: ReadonlySet<string> = new Set(counterNames.filter((name) => name.startsWith("membership")));

const OwnCounters = ownRecordClass<ClusterCounters>(counterNames);
const OwnHostStats = ownRecordClass<HostStats>(hostStatNames);
const SummedCounters = summedRecordClass<ClusterCounters>(counterNames, saidByAll);
const SummedHostStats = summedRecordClass<HostStats>(hostStatNames, new Set());

/** Memory for that many serving threads and the main one. */
export const createCountsMemory = (
  workers: number,
  room: { readonly clusters: number; readonly hosts: number } = { clusters: sharedClustersMax, hosts: sharedHostsMax },
): CountsMemory => ({
  clusters: createTableMemory({
    rows: room.clusters,
    lanes: workers + 1,
    sharedCells: clusterCells,
    laneCells: clusterParts + counterNames.length,
  }),
  hosts: createTableMemory({
    rows: room.hosts,
    lanes: workers + 1,
    sharedCells: activeCell + 1,
    laneCells: hostParts + hostStatNames.length,
  }),
});

export interface SharedCounts {
  readonly counts: CountsSource;
  /** A thread is gone: what it had in use is free again, what it had counted stays. */
  clearLane(lane: number): void;
}

/** `onFull` is called when a table has no room, once for each. */
export const openSharedCounts = (memory: CountsMemory, lane: number, onFull: (what: string) => void): SharedCounts => {
  const clusters = openSharedTable(memory.clusters, lane, cellsOfClusters);
  const hosts = openSharedTable(memory.hosts, lane, cellsOfHosts);
  const full = new Set<string>();
  const tellFull = (what: string): void => {
    if (full.has(what)) return;
    full.add(what);
    onFull(what);
  };
  const hostCounts = (name: string): HostCounts => {
    const row = hosts.hold(name);
    if (row !== undefined) return new SharedHostCounts(hosts, row, lane);
    tellFull("hosts");
    return localHostCounts();
  };
  return {
    counts: (name) => {
      const row = clusters.hold(name);
      if (row !== undefined) return clusterCounts(name, new SharedLoad(clusters, row, lane), hostCounts);
      tellFull("clusters");
      return localCounts(name);
    },
    clearLane: (dead) => {
      clusters.clearLane(dead);
      hosts.clearLane(dead);
    },
  };
};

const clusterCounts = (name: string, load: SharedLoad, hostCounts: (name: string) => HostCounts): ClusterCounts => ({
  load,
  counters: load.counters,
  sweeps: load.lane === mainLane,
  health: load,
  host: (address, key) => hostCounts(`${name}\0${key}\0${address}`),
  release: () => load.release(),
});

/** A row that is held until its user has let go of it and nothing of this thread is in it any more. */
class HeldRow {
  shared: Int32Array;
  at: number;
  private readonly table: SharedTable;
  private readonly row: number;
  private readonly records: readonly LaneRecord[];
  private inUse = 0;
  private released = false;
  private held = true;

  constructor(table: SharedTable, row: number, records: readonly LaneRecord[]) {
    this.table = table;
    this.row = row;
    this.shared = table.shared;
    this.at = table.sharedAt(row);
    this.records = records;
  }
  use(): void {
    this.inUse++;
  }
  unuse(): void {
    this.inUse--;
    if (this.released && this.inUse === 0) this.letGo();
  }
  release(): void {
    this.released = true;
    if (this.inUse === 0) this.letGo();
  }
  private letGo(): void {
    if (!this.held) return;
    this.held = false;
    // What is still counted on it must not end up in the row of another.
    this.shared = new Int32Array(this.table.sharedAt(1));
    this.at = 0;
    for (const record of this.records) record.detach();
    this.table.letGo(this.row);
  }
}

class SharedLoad implements CircuitLoad {
  readonly counters: ClusterCounters & LaneRecord;
  readonly lane: number;
  private readonly row: HeldRow;
  private readonly parts: Float64Array;
  private readonly partsAt: number;

  constructor(table: SharedTable, row: number, lane: number) {
    this.lane = lane;
    this.parts = table.lanes[lane] as Float64Array;
    this.partsAt = table.laneAt(row);
    const countersAt = this.partsAt + clusterParts;
    this.counters =
      lane === mainLane ? new SummedCounters(table.lanes, lane, countersAt) : new OwnCounters(this.parts, countersAt);
    this.row = new HeldRow(table, row, [this.counters]);
  }

  get connections(): number {
    return this.read(breakers.connections);
  }
  get pendingRequests(): number {
    return this.read(breakers.pendingRequests);
  }
  get requests(): number {
    return this.read(breakers.requests);
  }
  get retries(): number {
    return this.read(breakers.retries);
  }
  get ejections(): number {
    return this.read(ejectionsCell);
  }
  get epoch(): number {
    return this.read(epochCell);
  }
  bump(): void {
    Atomics.add(this.row.shared, this.row.at + epochCell, 1);
  }

  take(of: Breaker, max: number): boolean {
    if (!takeCell(this.row, of, max)) return false;
    this.note(of, 1);
    return true;
  }
  force(of: Breaker): void {
    Atomics.add(this.row.shared, this.row.at + of, 1);
    this.note(of, 1);
  }
  give(of: Breaker): void {
    Atomics.sub(this.row.shared, this.row.at + of, 1);
    this.note(of, -1);
  }
  takeEjection(max: number): boolean {
    return takeCell(this.row, ejectionsCell, max);
  }
  giveEjection(): void {
    Atomics.sub(this.row.shared, this.row.at + ejectionsCell, 1);
  }
  release(): void {
    this.row.release();
  }

  private read(cell: number): number {
    return Atomics.load(this.row.shared, this.row.at + cell);
  }
  /** Keeps this thread's part, which is taken out for it should it die. */
  private note(of: Breaker, n: number): void {
    const at = this.partsAt + of;
    this.parts[at] = (this.parts[at] as number) + n;
    if (n > 0) this.row.use();
    else this.row.unuse();
  }
}

/** Adds first and looks then, so that threads that come at the same time cannot both have the last one. */
const takeCell = ({ shared, at }: HeldRow, cell: number, max: number): boolean => {
  if (Atomics.add(shared, at + cell, 1) < max) return true;
  Atomics.sub(shared, at + cell, 1);
  return false;
};

class SharedHostCounts implements HostCounts {
  readonly stats: HostStats & LaneRecord;
  private readonly row: HeldRow;
  private readonly record: SharedOutlierRecord;
  private readonly parts: Float64Array;
  private readonly partsAt: number;

  constructor(table: SharedTable, row: number, lane: number) {
    this.parts = table.lanes[lane] as Float64Array;
    this.partsAt = table.laneAt(row);
    const statsAt = this.partsAt + hostParts;
    this.stats =
      lane === mainLane ? new SummedHostStats(table.lanes, lane, statsAt) : new OwnHostStats(this.parts, statsAt);
    this.record = new SharedOutlierRecord(table.shared, table.doubles, table.sharedAt(row));
    this.row = new HeldRow(table, row, [this.stats, this.record]);
  }
  get active(): number {
    return Atomics.load(this.row.shared, this.row.at + activeCell);
  }
  get ejected(): boolean {
    return this.record.ejected;
  }
  get outlier(): SharedOutlierRecord {
    return this.record;
  }
  enter(): void {
    Atomics.add(this.row.shared, this.row.at + activeCell, 1);
    this.parts[this.partsAt] = (this.parts[this.partsAt] as number) + 1;
    this.row.use();
  }
  leave(): void {
    Atomics.sub(this.row.shared, this.row.at + activeCell, 1);
    this.parts[this.partsAt] = (this.parts[this.partsAt] as number) - 1;
    this.row.unuse();
  }
  release(): void {
    this.row.release();
  }
}

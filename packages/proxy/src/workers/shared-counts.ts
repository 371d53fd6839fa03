/**
 * The counts of clusters and hosts for a proxy of several threads. What limits and ejections are judged by is one
 * number for all threads; statistics are kept by each thread for itself and added when read.
 */
import { type Breaker, breakers, LocalLoad } from "../clusters/circuit-load.ts";
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
/** What active checks found, which the main thread says; each thread says by itself who leaves. */
const checkedCell = ejectionCells + 1;

// Lane cells: the thread's part of what is shared comes first, statistics follow.
const clusterParts = Object.values(breakers).length;
const hostParts = 1;
const hostPart = 0;
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
  parts: [[hostPart, activeCell]],
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
    sharedCells: checkedCell + 1,
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
      if (row !== undefined) {
        const openHigh = (): CircuitLoad & { release?(): void } => {
          const high = clusters.hold(`${name}\0high`);
          if (high !== undefined) return new SharedLoad(clusters, high, lane);
          tellFull("clusters");
          return new LocalLoad();
        };
        return clusterCounts(name, new SharedLoad(clusters, row, lane), { hostCounts, openHigh });
      }
      tellFull("clusters");
      return localCounts(name);
    },
    clearLane: (dead) => {
      clusters.clearLane(dead);
      hosts.clearLane(dead);
    },
  };
};

interface ClusterParts {
  readonly hostCounts: (name: string) => HostCounts;
  readonly openHigh: () => CircuitLoad & { release?(): void };
}

const clusterCounts = (name: string, load: SharedLoad, { hostCounts, openHigh }: ClusterParts): ClusterCounts => {
  let high: ReturnType<ClusterParts["openHigh"]> | undefined;
  return {
    load,
    high: () => {
      high ??= openHigh();
      return high;
    },
    counters: load.counters,
    sweeps: load.lane === mainLane,
    health: load,
    host: (address, key) => hostCounts(`${name}\0${key}\0${address}`),
    release: () => {
      load.release();
      high?.release?.();
    },
  };
};

/** A row that is held until its user has let go of it and nothing of this thread is in it any more. */
class HeldRow {
  shared: Int32Array;
  at: number;
  /** This thread's part of what is shared, which is taken out for it should it die. */
  private parts: Float64Array;
  private partsAt: number;
  private readonly table: SharedTable;
  private readonly row: number;
  private readonly records: readonly LaneRecord[];
  private inUse = 0;
  private released = false;
  private held = true;

  constructor(table: SharedTable, row: number, lane: number, records: readonly LaneRecord[]) {
    this.table = table;
    this.row = row;
    this.shared = table.shared;
    this.at = table.sharedAt(row);
    this.parts = table.lanes[lane] as Float64Array;
    this.partsAt = table.laneAt(row);
    this.records = records;
  }
  /** Notes that this thread put something in, by its part's cell. */
  use(part: number): void {
    this.add(part, 1);
    this.inUse++;
  }
  /** Notes that it took that out again. */
  unuse(part: number): void {
    this.add(part, -1);
    this.inUse--;
    if (this.released && this.inUse === 0) this.letGo();
  }
  release(): void {
    this.released = true;
    if (this.inUse === 0) this.letGo();
  }
  private add(part: number, n: number): void {
    const at = this.partsAt + part;
    this.parts[at] = (this.parts[at] as number) + n;
  }
  private letGo(): void {
    if (!this.held) return;
    this.held = false;
    // What is still counted on it must not end up in the row of another.
    this.shared = new Int32Array(this.table.sharedAt(1));
    this.at = 0;
    this.parts = new Float64Array(clusterParts);
    this.partsAt = 0;
    for (const record of this.records) record.detach();
    this.table.letGo(this.row);
  }
}

class SharedLoad implements CircuitLoad {
  readonly counters: ClusterCounters & LaneRecord;
  readonly lane: number;
  private readonly row: HeldRow;

  constructor(table: SharedTable, row: number, lane: number) {
    this.lane = lane;
    const countersAt = table.laneAt(row) + clusterParts;
    this.counters =
      lane === mainLane
        ? new SummedCounters(table.lanes, lane, countersAt)
        : new OwnCounters(table.lanes[lane] as Float64Array, countersAt);
    this.row = new HeldRow(table, row, lane, [this.counters]);
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
    this.row.use(of);
    return true;
  }
  force(of: Breaker): void {
    Atomics.add(this.row.shared, this.row.at + of, 1);
    this.row.use(of);
  }
  give(of: Breaker): void {
    Atomics.sub(this.row.shared, this.row.at + of, 1);
    this.row.unuse(of);
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
}

/** Adds first and looks then, so that threads that come at the same time cannot both have the last one. */
const takeCell = ({ shared, at }: HeldRow, cell: number, max: number): boolean => {
  if (Atomics.add(shared, at + cell, 1) < max) return true;
  Atomics.sub(shared, at + cell, 1);
  return false;
};

class SharedHostCounts implements HostCounts {
  readonly stats: HostStats & LaneRecord;
  private lanes: readonly Float64Array[];
  private readonly connectionsAt: number;
  private readonly row: HeldRow;
  private readonly record: SharedOutlierRecord;

  constructor(table: SharedTable, row: number, lane: number) {
    const statsAt = table.laneAt(row) + hostParts;
    this.stats =
      lane === mainLane
        ? new SummedHostStats(table.lanes, lane, statsAt)
        : new OwnHostStats(table.lanes[lane] as Float64Array, statsAt);
    this.lanes = table.lanes.filter((_, each) => each !== lane);
    this.connectionsAt = statsAt + hostStatNames.indexOf("cxActive");
    this.record = new SharedOutlierRecord(table.shared, table.doubles, table.sharedAt(row));
    const others = { detach: () => (this.lanes = []) };
    this.row = new HeldRow(table, row, lane, [this.stats, this.record, others]);
  }
  get active(): number {
    return Atomics.load(this.row.shared, this.row.at + activeCell);
  }
  get connectionsElsewhere(): number {
    let sum = 0;
    for (const cells of this.lanes) sum += cells[this.connectionsAt] as number;
    return sum;
  }
  get ejected(): boolean {
    return this.record.ejected;
  }
  get checked(): number {
    return Atomics.load(this.row.shared, this.row.at + checkedCell);
  }
  set checked(flags: number) {
    Atomics.store(this.row.shared, this.row.at + checkedCell, flags);
  }
  mark(set: number, clear: number): void {
    const { shared, at } = this.row;
    if (clear !== 0) Atomics.and(shared, at + checkedCell, ~clear);
    if (set !== 0) Atomics.or(shared, at + checkedCell, set);
  }
  get outlier(): SharedOutlierRecord {
    return this.record;
  }
  enter(): void {
    Atomics.add(this.row.shared, this.row.at + activeCell, 1);
    this.row.use(hostPart);
  }
  leave(): void {
    Atomics.sub(this.row.shared, this.row.at + activeCell, 1);
    this.row.unuse(hostPart);
  }
  release(): void {
    this.row.release();
  }
}

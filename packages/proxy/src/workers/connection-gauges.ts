/** How many connections each listener has, in memory all threads share: a worker shows its own, main adds them up. */
import type { ConnectionGauge } from "../listeners/active-listener.ts";
import { createTableMemory, type LaneCells, openSharedTable, type TableMemory } from "./shared-table.ts";

/** Listeners there is room for; of further ones no connections are shown. */
export const sharedListenersMax = 4_096;

const cells: LaneCells = { parts: [], passing: [0] };

export const createConnectionsMemory = (workers: number): TableMemory =>
  createTableMemory({ rows: sharedListenersMax, lanes: workers + 1, sharedCells: 0, laneCells: 1 });

/** For a worker. */
export const createConnectionGauges = (memory: TableMemory, lane: number): ((listener: string) => ConnectionGauge) => {
  const table = openSharedTable(memory, lane, cells);
  const own = table.lanes[lane] as Float64Array;
  return (listener) => {
    let row = table.hold(listener);
    let shown = 0;
    // One that drains and the one that took its name show their connections together.
    const show = (at: number, connections: number): void => {
      own[at] = (own[at] as number) + connections - shown;
      shown = connections;
    };
    return {
      set: (connections) => {
        if (row !== undefined) show(table.laneAt(row), connections);
      },
      close: () => {
        if (row === undefined) return;
        show(table.laneAt(row), 0);
        table.letGo(row);
        row = undefined;
      },
    };
  };
};

export interface ConnectionReader {
  /** Of all workers together. */
  of(listener: string): number;
  clearLane(lane: number): void;
}

/** For the main thread. */
export const createConnectionReader = (memory: TableMemory, lane: number): ConnectionReader => {
  const table = openSharedTable(memory, lane, cells);
  return {
    of: (listener) => {
      const row = table.hold(listener);
      if (row === undefined) return 0;
      let sum = 0;
      for (const cellsOfLane of table.lanes) sum += cellsOfLane[table.laneAt(row)] as number;
      table.letGo(row);
      return sum;
    },
    clearLane: (dead) => table.clearLane(dead),
  };
};

import type { OutlierRecord, Rates, Row } from "../clusters/outlier-record.ts";
import type { LaneRecord } from "./lane-record.ts";

// Shared cells of a host. Rows of bad outcomes follow `rowsCell` by the row's number; times are doubles of two cells.
const ejectedAtCell = 0;
const jitterCell = 2;
const ejectedCell = 4;
const rowsCell = 5;
const totalCell = 8;
const successCell = 9;
const localTotalCell = 10;
const localSuccessCell = 11;
const ejectionsCell = 12;

/** How many shared cells outlier detection takes. */
export const ejectionCells = 13;

/** What all threads found out about one host. Times are of the clock that the threads have in common. */
export class SharedOutlierRecord implements OutlierRecord, LaneRecord {
  private cells: Int32Array;
  private doubles: Float64Array;
  private at: number;

  constructor(cells: Int32Array, doubles: Float64Array, at: number) {
    this.cells = cells;
    this.doubles = doubles;
    this.at = at;
  }

  get ejected(): boolean {
    return Atomics.load(this.cells, this.at + ejectedCell) !== 0;
  }
  lengthen(row: Row): number {
    return Atomics.add(this.cells, this.at + rowsCell + row, 1) + 1;
  }
  end(row: Row): void {
    const cell = this.at + rowsCell + row;
    // A store would take the line from the other threads with every good answer.
    if (Atomics.load(this.cells, cell) !== 0) Atomics.store(this.cells, cell, 0);
  }
  count(local: boolean, success: boolean): void {
    Atomics.add(this.cells, this.at + (local ? localTotalCell : totalCell), 1);
    if (success) Atomics.add(this.cells, this.at + (local ? localSuccessCell : successCell), 1);
  }
  takeRates(local: boolean): Rates {
    const total = Atomics.exchange(this.cells, this.at + (local ? localTotalCell : totalCell), 0);
    const success = Atomics.exchange(this.cells, this.at + (local ? localSuccessCell : successCell), 0);
    // An answer may come between the two and be counted a success of this interval and an outcome of the next.
    return { total, success: Math.min(total, success) };
  }
  tryEject(): boolean {
    return Atomics.compareExchange(this.cells, this.at + ejectedCell, 0, 1) === 0;
  }
  tryReturn(): boolean {
    return Atomics.compareExchange(this.cells, this.at + ejectedCell, 1, 0) === 1;
  }
  get ejectedAtMs(): number {
    return this.doubles[(this.at + ejectedAtCell) / 2] as number;
  }
  set ejectedAtMs(value: number) {
    this.doubles[(this.at + ejectedAtCell) / 2] = value;
  }
  get jitterMs(): number {
    return this.doubles[(this.at + jitterCell) / 2] as number;
  }
  set jitterMs(value: number) {
    this.doubles[(this.at + jitterCell) / 2] = value;
  }
  get ejections(): number {
    return Atomics.load(this.cells, this.at + ejectionsCell);
  }
  set ejections(value: number) {
    Atomics.store(this.cells, this.at + ejectionsCell, value);
  }
  detach(): void {
    const scrap = new SharedArrayBuffer(8 * ejectionCells);
    this.cells = new Int32Array(scrap);
    this.doubles = new Float64Array(scrap);
    this.at = 0;
  }
}

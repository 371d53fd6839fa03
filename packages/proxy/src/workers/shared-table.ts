/**
 * A table in memory that all threads of a proxy share: a row for each name, found or made by whoever needs it first and
 * freed when the last thread lets go of it. A row has cells that all threads change (32-bit integers, changed by
 * atomic operations) and, for each thread, cells of its own (doubles that only it writes and everybody may read).
 *
 * Rows are found and freed under a lock, which is for configuration time; cells are used without it.
 */

export interface TableShape {
  /** Names it has room for. */
  readonly rows: number;
  /** Threads. The first is the one that clears up after others. */
  readonly lanes: number;
  readonly sharedCells: number;
  readonly laneCells: number;
}

/** What is handed to each thread. Memory that is never touched costs nothing. */
export interface TableMemory {
  readonly shape: TableShape;
  readonly index: SharedArrayBuffer;
  readonly shared: SharedArrayBuffer;
  readonly lanes: readonly SharedArrayBuffer[];
}

/** Lane cells by what becomes of them when their thread dies. */
export interface LaneCells {
  /** Part of a shared cell, which is lowered by it: `[lane cell, shared cell]`. */
  readonly parts: readonly (readonly [lane: number, shared: number])[];
  /** Of use only while the thread lives. */
  readonly passing: readonly number[];
}

export interface SharedTable {
  readonly shared: Int32Array;
  /** The same memory, for pairs of cells that hold a double. */
  readonly doubles: Float64Array;
  readonly lanes: readonly Float64Array[];
  /** The row of that name, held once more by this thread; `undefined` when there is no room. */
  hold(name: string): number | undefined;
  /** This thread lets go of a row it holds. Nothing may be in its cells that this thread would still take out. */
  letGo(row: number): void;
  /** The thread of that lane is gone: takes out what it had put in, and lets go of what it held. */
  clearLane(lane: number): void;
  /** Where a row's shared cells begin. */
  sharedAt(row: number): number;
  /** Where a row's cells begin in each lane; the first is the table's own. */
  laneAt(row: number): number;
}

// Cells at the head of the index: the lock (0 free, else its holder's lane + 1), rows ever used, the first free row.
const lockCell = 0;
const usedCell = 1;
const freeCell = 2;
const headCells = 4;

// Cells at the head of a row, before the shared cells of its user: the name's hash, holds, and the next free row.
const hashCell = 0;
const holdsCell = 2;
const nextCell = 3;
const rowHead = 4;

/** How long a thread that finds the table locked sleeps at most before it looks again. */
const lockWaitMs = 1;
/**
 * The first thread takes a lock from a holder that had it at so many looks in a row. A holder needs it for microseconds;
 * one that died with it is cleared up after by the first thread, which could not hear of the death while it waits.
 */
const lockLooksMax = 5_000;

const even = (cells: number): number => cells + (cells % 2);

const strides = ({ sharedCells, laneCells }: TableShape): { readonly shared: number; readonly lane: number } => ({
  // Whole cache lines, so that two hosts under load do not slow each other down.
  shared: Math.ceil((rowHead + even(sharedCells)) / 16) * 16,
  lane: 1 + laneCells,
});

export const createTableMemory = (shape: TableShape): TableMemory => {
  const stride = strides(shape);
  return {
    shape,
    index: new SharedArrayBuffer(4 * (headCells + 2 * shape.rows)),
    shared: new SharedArrayBuffer(4 * stride.shared * shape.rows),
    lanes: Array.from({ length: shape.lanes }, () => new SharedArrayBuffer(8 * stride.lane * shape.rows)),
  };
};

/** 64 bits of a name, as two halves; equal names give equal halves in every thread. */
export const nameHash = (name: string): readonly [number, number] => {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  const mixedA = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  const mixedB = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(mixedA ^ (mixedA >>> 13), 3266489909);
  return [mixedA | 0, mixedB | 0];
};

export const openSharedTable = (
  memory: TableMemory,
  lane: number,
  cells: LaneCells,
  looksMax = lockLooksMax,
): SharedTable => new Table(memory, lane, cells, looksMax);

class Table implements SharedTable {
  readonly shared: Int32Array;
  readonly doubles: Float64Array;
  readonly lanes: readonly Float64Array[];
  private readonly index: Int32Array;
  private readonly lane: number;
  private readonly cells: LaneCells;
  private readonly rows: number;
  private readonly places: number;
  private readonly stride: { readonly shared: number; readonly lane: number };
  private readonly looksMax: number;

  constructor(memory: TableMemory, lane: number, cells: LaneCells, looksMax: number) {
    this.looksMax = looksMax;
    this.index = new Int32Array(memory.index);
    this.shared = new Int32Array(memory.shared);
    this.doubles = new Float64Array(memory.shared);
    this.lanes = memory.lanes.map((buffer) => new Float64Array(buffer));
    this.lane = lane;
    this.cells = cells;
    this.rows = memory.shape.rows;
    this.places = 2 * memory.shape.rows;
    this.stride = strides(memory.shape);
  }

  sharedAt(row: number): number {
    return row * this.stride.shared + rowHead;
  }
  laneAt(row: number): number {
    return row * this.stride.lane + 1;
  }

  hold(name: string): number | undefined {
    const [a, b] = nameHash(name);
    this.lock();
    try {
      const place = this.find(a, b);
      const found = this.rowAt(place);
      const row = found >= 0 ? found : this.make(place, a, b);
      if (row === undefined) return undefined;
      this.addHolds(row, this.lane, 1);
      return row;
    } finally {
      this.unlock();
    }
  }

  letGo(row: number): void {
    this.lock();
    try {
      this.addHolds(row, this.lane, -1);
      this.freeIfUnused(row);
    } finally {
      this.unlock();
    }
  }

  clearLane(lane: number): void {
    // It may have died with the lock in its hand.
    Atomics.compareExchange(this.index, lockCell, lane + 1, 0);
    this.lock();
    try {
      const used = this.index[usedCell] as number;
      for (let row = 0; row < used; row++) this.clearRow(row, lane);
    } finally {
      this.unlock();
    }
  }

  private clearRow(row: number, lane: number): void {
    const own = this.lanes[lane] as Float64Array;
    const held = own[row * this.stride.lane] as number;
    if (held === 0) return;
    const at = this.laneAt(row);
    for (const [part, cell] of this.cells.parts) {
      Atomics.sub(this.shared, this.sharedAt(row) + cell, own[at + part] as number);
      own[at + part] = 0;
    }
    for (const cell of this.cells.passing) own[at + cell] = 0;
    this.addHolds(row, lane, -held);
    this.freeIfUnused(row);
  }

  private lock(): void {
    const { index, lane } = this;
    let looks = 0;
    for (let before = 0; ; ) {
      const holder = Atomics.compareExchange(index, lockCell, 0, lane + 1);
      if (holder === 0) return;
      looks = holder === before ? looks + 1 : 0;
      before = holder;
      const isLost = lane === 0 && looks >= this.looksMax;
      if (isLost && Atomics.compareExchange(index, lockCell, holder, lane + 1) === holder) return;
      Atomics.wait(index, lockCell, holder, lockWaitMs);
    }
  }
  private unlock(): void {
    Atomics.compareExchange(this.index, lockCell, this.lane + 1, 0);
    Atomics.notify(this.index, lockCell, 1);
  }

  private addHolds(row: number, lane: number, n: number): void {
    const own = this.lanes[lane] as Float64Array;
    const at = row * this.stride.lane;
    own[at] = (own[at] as number) + n;
    const holds = row * this.stride.shared + holdsCell;
    this.shared[holds] = (this.shared[holds] as number) + n;
  }

  /** The place of that hash, or the empty one where it would go. */
  private find(a: number, b: number): number {
    let place = this.homeOf(a);
    for (;;) {
      const row = this.rowAt(place);
      if (row < 0) return place;
      const at = row * this.stride.shared + hashCell;
      if (this.shared[at] === a && this.shared[at + 1] === b) return place;
      place = (place + 1) % this.places;
    }
  }
  private homeOf(a: number): number {
    return (a >>> 0) % this.places;
  }
  /** -1 for an empty place. */
  private rowAt(place: number): number {
    return (this.index[headCells + place] as number) - 1;
  }
  private put(place: number, row: number): void {
    this.index[headCells + place] = row + 1;
  }

  private make(place: number, a: number, b: number): number | undefined {
    const row = this.takeRow();
    if (row === undefined) return undefined;
    const at = row * this.stride.shared;
    this.shared.fill(0, at, at + this.stride.shared);
    for (const lane of this.lanes) lane.fill(0, row * this.stride.lane, (row + 1) * this.stride.lane);
    this.shared[at + hashCell] = a;
    this.shared[at + hashCell + 1] = b;
    this.put(place, row);
    return row;
  }

  private takeRow(): number | undefined {
    const { index } = this;
    const free = (index[freeCell] as number) - 1;
    if (free >= 0) {
      index[freeCell] = this.shared[free * this.stride.shared + nextCell] as number;
      return free;
    }
    const used = index[usedCell] as number;
    if (used >= this.rows) return undefined;
    index[usedCell] = used + 1;
    return used;
  }

  private freeIfUnused(row: number): void {
    const at = row * this.stride.shared;
    if ((this.shared[at + holdsCell] as number) > 0) return;
    this.empty(this.find(this.shared[at + hashCell] as number, this.shared[at + hashCell + 1] as number));
    this.shared[at + nextCell] = this.index[freeCell] as number;
    this.index[freeCell] = row + 1;
  }

  /** Empties a place and moves up those behind it that would not be found any more. */
  private empty(place: number): void {
    let hole = place;
    for (let at = (hole + 1) % this.places; this.rowAt(at) >= 0; at = (at + 1) % this.places) {
      const row = this.rowAt(at);
      const home = this.homeOf(this.shared[row * this.stride.shared + hashCell] as number);
      const fromHome = (at - home + this.places) % this.places;
      const fromHole = (at - hole + this.places) % this.places;
      if (fromHome < fromHole) continue;
      this.put(hole, row);
      hole = at;
    }
    this.index[headCells + hole] = 0;
  }
}

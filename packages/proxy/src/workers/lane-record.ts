/** Records of numbers whose members are cells of a lane, so that `record.member++` counts in shared memory. */

/** A record that can be taken off its memory when the row it is on is given up: it then counts for nobody. */
export interface LaneRecord {
  detach(): void;
}

type Numbers = Readonly<Record<string, number>>;
type Writable<T> = T & LaneRecord;

/** Members of a thread that serves: its own cells, which nobody else writes. */
export const ownRecordClass = <T extends object>(
  names: readonly (keyof T & string)[],
): (new (
  cells: Float64Array,
  at: number,
) => Writable<T>) => {
  class OwnRecord {
    cells: Float64Array;
    at: number;
    constructor(cells: Float64Array, at: number) {
      this.cells = cells;
      this.at = at;
    }
    detach(): void {
      this.cells = new Float64Array(names.length);
      this.at = 0;
    }
  }
  for (const [i, name] of names.entries())
    Object.defineProperty(OwnRecord.prototype, name, {
      enumerable: true,
      get(this: OwnRecord): number {
        return this.cells[this.at + i] as number;
      },
      set(this: OwnRecord, value: number) {
        this.cells[this.at + i] = value;
      },
    });
  return OwnRecord as unknown as new (
    cells: Float64Array,
    at: number,
  ) => Writable<T>;
};

/**
 * Members of the thread that reads: what all lanes hold together. Those of `onlyOwn` are said by every thread alike and
 * not added. Setting a member makes it so by the reader's own cell.
 */
export const summedRecordClass = <T extends object>(
  names: readonly (keyof T & string)[],
  onlyOwn: ReadonlySet<string>,
): (new (
  lanes: readonly Float64Array[],
  own: number,
  at: number,
) => Writable<T>) => {
  class SummedRecord {
    lanes: readonly Float64Array[];
    own: number;
    at: number;
    constructor(lanes: readonly Float64Array[], own: number, at: number) {
      this.lanes = lanes;
      this.own = own;
      this.at = at;
    }
    detach(): void {
      this.lanes = this.lanes.map(() => new Float64Array(names.length));
      this.at = 0;
    }
    others(i: number): number {
      let sum = 0;
      for (let lane = 0; lane < this.lanes.length; lane++)
        if (lane !== this.own) sum += (this.lanes[lane] as Float64Array)[this.at + i] as number;
      return sum;
    }
  }
  for (const [i, name] of names.entries()) {
    const alone = onlyOwn.has(name);
    const own = ({ lanes, own: lane }: SummedRecord): Float64Array => lanes[lane] as Float64Array;
    Object.defineProperty(SummedRecord.prototype, name, {
      enumerable: true,
      get(this: SummedRecord): number {
        return (own(this)[this.at + i] as number) + (alone ? 0 : this.others(i));
      },
      set(this: SummedRecord, value: number) {
        own(this)[this.at + i] = alone ? value : value - this.others(i);
      },
    });
  }
  return SummedRecord as unknown as new (
    lanes: readonly Float64Array[],
    own: number,
    at: number,
  ) => Writable<T>;
};

/** The members of a record of numbers, in the order of its cells. */
export const namesOf = <T extends object>(record: T): readonly (keyof T & string)[] =>
  Object.keys(record satisfies Numbers | object) as (keyof T & string)[];

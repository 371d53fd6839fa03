/** The statistics of one process or worker: values are slots of typed arrays, names are resolved when configured. */
import type { Counter, Gauge, Histogram, Labels, Stats } from "./stats.ts";

/** Series of each sort; further names share one series called `overflow`, and are counted as refused. */
export const seriesMax = 50_000;
/** Longer names are cut: they come from configuration and, through labels, from peers. */
export const nameCharsMax = 1024;

/** Envoy's default histogram buckets, upper bounds. */
export const bucketBounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** Per histogram: one slot per bound, one for what is above, the count, the sum. */
const histogramSlots = bucketBounds.length + 3;

const chunkSlots = 4096;

/** Where a series has its slots. */
interface Place {
  readonly chunk: Float64Array<ArrayBufferLike>;
  readonly at: number;
}

/** A series that a thread keeps in memory which others may read. Plain data: it crosses to another thread. */
export interface SharedSeries {
  readonly sort: "counter" | "gauge" | "histogram";
  readonly name: string;
  readonly labels: Labels;
  readonly memory: SharedArrayBuffer;
  readonly at: number;
}

/** Slots come in chunks that never move, so a series keeps its place for life. */
const createSlots = (shared: boolean): ((count: number) => Place) => {
  const newChunk = (): Float64Array<ArrayBufferLike> =>
    shared ? new Float64Array(new SharedArrayBuffer(8 * chunkSlots)) : new Float64Array(chunkSlots);
  let chunk = newChunk();
  let used = 0;
  return (count) => {
    if (used + count > chunkSlots) {
      chunk = newChunk();
      used = 0;
    }
    used += count;
    return { chunk, at: used - count };
  };
};

class SlotCounter implements Counter, Gauge {
  private readonly chunk: Float64Array<ArrayBufferLike>;
  private readonly at: number;
  constructor({ chunk, at }: Place) {
    this.chunk = chunk;
    this.at = at;
  }
  add(n: number): void {
    this.chunk[this.at] = (this.chunk[this.at] as number) + n;
  }
  set(n: number): void {
    this.chunk[this.at] = n;
  }
  get value(): number {
    return this.chunk[this.at] as number;
  }
}

export interface HistogramValues {
  /** How many values were at or below each bound of `bucketBounds`, not cumulative; then those above all. */
  readonly buckets: readonly number[];
  readonly count: number;
  readonly sum: number;
}

class SlotHistogram implements Histogram {
  private readonly chunk: Float64Array<ArrayBufferLike>;
  private readonly at: number;
  constructor({ chunk, at }: Place) {
    this.chunk = chunk;
    this.at = at;
  }
  record(value: number): void {
    let bucket = 0;
    while (bucket < bucketBounds.length && value > (bucketBounds[bucket] as number)) bucket++;
    this.add(bucket, 1);
    this.add(histogramSlots - 2, 1);
    this.add(histogramSlots - 1, value);
  }
  read(): HistogramValues {
    const { chunk, at } = this;
    return {
      buckets: [...chunk.subarray(at, at + bucketBounds.length + 1)],
      count: chunk[at + histogramSlots - 2] as number,
      sum: chunk[at + histogramSlots - 1] as number,
    };
  }
  merge({ chunk, at }: SlotHistogram): void {
    for (let slot = 0; slot < histogramSlots; slot++) this.add(slot, chunk[at + slot] as number);
  }
  private add(slot: number, n: number): void {
    this.chunk[this.at + slot] = (this.chunk[this.at + slot] as number) + n;
  }
}

/** One series as printers see it. Labels are empty for a plain name. */
export type Series = { readonly name: string; readonly labels: Labels } & (
  | { readonly type: "counter" | "gauge"; readonly value: number }
  | { readonly type: "histogram"; readonly values: HistogramValues }
);

export interface StatsStore extends Stats {
  /** For `istio_build` and the like. */
  labelledGauge(name: string, labels: Labels): Gauge;
  /**
   * Takes in the series of another thread: what it counts is added to ours of the same name whenever they are read.
   */
  join(): JoinedStats;
  /** Every series with its value now, collected ones included, in no order. */
  series(): Iterable<Series>;
}

export interface JoinedStats {
  add(series: SharedSeries): void;
  /** The thread is gone: what it counted stays, what it measured at its end does not. */
  leave(): void;
}

interface Named<T> {
  readonly name: string;
  readonly labels: Labels;
  readonly series: T;
  /** The same series of other threads. */
  readonly others: Set<T>;
}

/** The series of one sort, by name and labels. */
class Family<T> {
  private readonly make: (name: string, labels: Labels) => T;
  private readonly refuse: () => void;
  private readonly byKey = new Map<string, Named<T>>();
  private overflow: Named<T> | undefined;

  constructor(make: (name: string, labels: Labels) => T, refuse: () => void) {
    this.make = make;
    this.refuse = refuse;
  }

  get(name: string, labels: Labels): T {
    return this.entry(name, labels).series;
  }

  entry(name: string, labels: Labels): Named<T> {
    const key = labels.length === 0 ? name : JSON.stringify([name, labels]);
    const found = this.byKey.get(key);
    if (found) return found;
    if (this.byKey.size >= seriesMax) {
      this.refuse();
      this.overflow ??= { name: "overflow", labels: [], series: this.make("overflow", []), others: new Set() };
      return this.overflow;
    }
    const ownName = name.slice(0, nameCharsMax);
    const ownLabels = labels.map(bounded);
    const series = this.make(ownName, ownLabels);
    const made: Named<T> = { name: ownName, labels: ownLabels, series, others: new Set() };
    this.byKey.set(key, made);
    return made;
  }

  *all(): Generator<Named<T>> {
    yield* this.byKey.values();
    if (this.overflow) yield this.overflow;
  }
}

const bounded = ([name, value]: readonly [string, string]): readonly [string, string] => [
  name,
  value.slice(0, nameCharsMax),
];

const nameOf = ({ name, labels }: Named<unknown>): { readonly name: string; readonly labels: Labels } => ({
  name,
  labels,
});

const sumOf = ({ series, others }: Named<SlotCounter>): number => {
  let sum = series.value;
  for (const other of others) sum += other.value;
  return sum;
};

const readAll = ({ series, others }: Named<SlotHistogram>): HistogramValues => {
  if (others.size === 0) return series.read();
  const all = new SlotHistogram({ chunk: new Float64Array(histogramSlots), at: 0 });
  all.merge(series);
  for (const other of others) all.merge(other);
  return all.read();
};

interface Families {
  readonly counters: Family<SlotCounter>;
  readonly gauges: Family<SlotCounter>;
  readonly histograms: Family<SlotHistogram>;
}

const joinStats = ({ counters, gauges, histograms }: Families): JoinedStats => {
  const leaving: (() => void)[] = [];
  const join = <T>({ series, others }: Named<T>, other: T, keep: (series: T, other: T) => void): void => {
    others.add(other);
    leaving.push(() => {
      others.delete(other);
      keep(series, other);
    });
  };
  const addUp = (series: SlotCounter, other: SlotCounter): void => series.add(other.value);
  return {
    add: ({ sort, name, labels, memory, at }) => {
      const place = { chunk: new Float64Array(memory), at };
      if (sort === "histogram")
        join(histograms.entry(name, labels), new SlotHistogram(place), (series, other) => series.merge(other));
      else if (sort === "counter") join(counters.entry(name, labels), new SlotCounter(place), addUp);
      else join(gauges.entry(name, labels), new SlotCounter(place), () => undefined);
    },
    leave: () => {
      for (const leave of leaving.splice(0)) leave();
    },
  };
};

type Source = () => Iterable<readonly [name: string, value: number, type: "counter" | "gauge"]>;

const refusedName = "server.stats_refused";
const none: Labels = [];

/** `onSeries` makes this the statistics of one thread among several: it hears of each series that comes to be. */
export const createStats = (onSeries?: (series: SharedSeries) => void): StatsStore => {
  const take = createSlots(onSeries !== undefined);
  const tell = (sort: SharedSeries["sort"], name: string, labels: Labels, { chunk, at }: Place): void => {
    if (onSeries && chunk.buffer instanceof SharedArrayBuffer)
      onSeries({ sort, name, labels, memory: chunk.buffer, at });
  };
  const scalar =
    (sort: "counter" | "gauge") =>
    (name: string, labels: Labels): SlotCounter => {
      const place = take(1);
      tell(sort, name, labels, place);
      return new SlotCounter(place);
    };
  const histogram = (name: string, labels: Labels): SlotHistogram => {
    const place = take(histogramSlots);
    tell("histogram", name, labels, place);
    return new SlotHistogram(place);
  };
  const refuse = (): void => counters.get(refusedName, none).add(1);
  const counters = new Family(scalar("counter"), refuse);
  const gauges = new Family(scalar("gauge"), refuse);
  const histograms = new Family(histogram, refuse);
  const sources = new Set<Source>();
  // Looked up before there can be too many.
  counters.get(refusedName, none);
  return {
    counter: (name) => counters.get(name, none),
    gauge: (name) => gauges.get(name, none),
    histogram: (name) => histograms.get(name, none),
    labelledGauge: (name, labels) => gauges.get(name, labels),
    labelledCounter: (name, labels) => counters.get(name, labels),
    labelledHistogram: (name, labels) => histograms.get(name, labels),
    collect: (source) => {
      // A wrapper of our own, so that the same function given twice is two registrations.
      const own: Source = () => source();
      sources.add(own);
      return { [Symbol.dispose]: () => void sources.delete(own) };
    },
    join: () => joinStats({ counters, gauges, histograms }),
    *series() {
      for (const each of counters.all()) yield { ...nameOf(each), type: "counter", value: sumOf(each) };
      for (const each of gauges.all()) yield { ...nameOf(each), type: "gauge", value: sumOf(each) };
      for (const each of histograms.all()) yield { ...nameOf(each), type: "histogram", values: readAll(each) };
      for (const source of sources) {
        for (const [name, value, type] of source()) yield { name, labels: none, type, value };
      }
    },
  };
};

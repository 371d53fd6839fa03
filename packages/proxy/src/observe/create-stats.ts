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
  readonly chunk: Float64Array;
  readonly at: number;
}

/** Slots come in chunks that never move, so a series keeps its place for life. */
const createSlots = (): ((count: number) => Place) => {
  let chunk = new Float64Array(chunkSlots);
  let used = 0;
  return (count) => {
    if (used + count > chunkSlots) {
      chunk = new Float64Array(chunkSlots);
      used = 0;
    }
    used += count;
    return { chunk, at: used - count };
  };
};

class SlotCounter implements Counter, Gauge {
  private readonly chunk: Float64Array;
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
  private readonly chunk: Float64Array;
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
  /** Every series with its value now, collected ones included, in no order. */
  series(): Iterable<Series>;
}

interface Named<T> {
  readonly name: string;
  readonly labels: Labels;
  readonly series: T;
}

/** The series of one sort, by name and labels. */
class Family<T> {
  private readonly make: () => T;
  private readonly refuse: () => void;
  private readonly byKey = new Map<string, Named<T>>();
  private overflow: Named<T> | undefined;

  constructor(make: () => T, refuse: () => void) {
    this.make = make;
    this.refuse = refuse;
  }

  get(name: string, labels: Labels): T {
    const key = labels.length === 0 ? name : JSON.stringify([name, labels]);
    const found = this.byKey.get(key);
    if (found) return found.series;
    if (this.byKey.size >= seriesMax) {
      this.refuse();
      this.overflow ??= { name: "overflow", labels: [], series: this.make() };
      return this.overflow.series;
    }
    const made: Named<T> = { name: name.slice(0, nameCharsMax), labels: labels.map(bounded), series: this.make() };
    this.byKey.set(key, made);
    return made.series;
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

type Source = () => Iterable<readonly [name: string, value: number, type: "counter" | "gauge"]>;

export const createStats = (): StatsStore => {
  const take = createSlots();
  const refused = new SlotCounter(take(1));
  const refuse = (): void => refused.add(1);
  const counter = (): SlotCounter => new SlotCounter(take(1));
  const histogram = (): SlotHistogram => new SlotHistogram(take(histogramSlots));
  const counters = new Family(counter, refuse);
  const gauges = new Family(counter, refuse);
  const histograms = new Family(histogram, refuse);
  const sources = new Set<Source>();
  const none: Labels = [];
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
    *series() {
      for (const { name, labels, series } of counters.all())
        yield { name, labels, type: "counter", value: series.value };
      for (const { name, labels, series } of gauges.all()) yield { name, labels, type: "gauge", value: series.value };
      for (const { name, labels, series } of histograms.all()) {
        yield { name, labels, type: "histogram", values: series.read() };
      }
      yield { name: "server.stats_refused", labels: none, type: "counter", value: refused.value };
      for (const source of sources) {
        for (const [name, value, type] of source()) yield { name, labels: none, type, value };
      }
    },
  };
};

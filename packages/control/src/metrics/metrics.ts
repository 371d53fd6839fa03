/** Counters, gauges and histograms of the control plane, printed in Prometheus' text form. */
export interface Metrics {
  /** Values of the labels in the order the names were declared. */
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  gauge(name: string, help: string, labels?: readonly string[]): Gauge;
  histogram(name: string, help: string, bounds: readonly number[], labels?: readonly string[]): Histogram;
  /** Asked at each printing. */
  collect(name: string, type: "counter" | "gauge", help: string, read: () => Iterable<Sample>): void;
  print(): string;
}

export interface Counter {
  add(amount: number, ...labels: readonly string[]): void;
  /** The one with these labels, found once for what is counted very often. */
  of(...labels: readonly string[]): { add(amount: number): void };
}
export interface Gauge {
  set(value: number, ...labels: readonly string[]): void;
}
export interface Histogram {
  observe(value: number, ...labels: readonly string[]): void;
}
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Series of one metric; more are counted under empty label values rather than kept without end. */
const seriesMax = 10_000;

interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly lines: () => Iterable<string>;
}

export const createMetrics = (): Metrics => {
  const families = new Map<string, Family>();
  const add = (family: Family): void => {
    if (families.has(family.name)) throw new Error(`metric ${family.name} declared twice`);
    families.set(family.name, family);
  };

  const values = (name: string, type: "counter" | "gauge", help: string, labels: readonly string[]) => {
    const series = createSeries(labels, () => ({ value: 0 }));
    add({ name, type, help, lines: () => series.print((text, { value }) => `${name}${text} ${value}`) });
    if (labels.length === 0) series.at([]);
    return series;
  };

  return {
    counter(name, help, labels = []) {
      const series = values(name, "counter", help, labels);
      return {
        add(amount, ...given) {
          series.at(given).value += amount;
        },
        of(...given) {
          const one = series.at(given);
          return {
            add(amount) {
              one.value += amount;
            },
          };
        },
      };
    },
    gauge(name, help, labels = []) {
      const series = values(name, "gauge", help, labels);
      return {
        set(value, ...given) {
          series.at(given).value = value;
        },
      };
    },
    histogram(name, help, bounds, labels = []) {
      const series = createSeries(labels, () => ({ counts: new Float64Array(bounds.length + 1), sum: 0 }));
      add({
        name,
        type: "histogram",
        help,
        lines: () => {
          const perSeries = series.print((text, data) => bucketLines(name, bounds, text, data));
          return perSeries.flat();
        },
      });
      return {
        observe(value, ...given) {
          const data = series.at(given);
          let bucket = 0;
          while (bucket < bounds.length && !(value <= (bounds[bucket] as number))) bucket++;
          data.counts[bucket] = (data.counts[bucket] ?? 0) + 1;
          data.sum += value;
        },
      };
    },
    collect(name, type, help, read) {
      const lines = function* (): Iterable<string> {
        for (const { labels, value } of read()) yield `${name}${labelText(Object.entries(labels ?? {}))} ${value}`;
      };
      add({ name, type, help, lines });
    },
    print() {
      let text = "";
      for (const { name, type, help, lines } of [...families.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
        text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
        for (const line of lines()) text += `${line}\n`;
      }
      return text;
    },
  };
};

const createSeries = <T>(labels: readonly string[], make: () => T) => {
  const series = new Map<string, { readonly text: string; readonly data: T }>();
  return {
    at(given: readonly string[]): T {
      const known = series.get(given.length <= 1 ? (given[0] ?? "") : given.join("\0"));
      if (known) return known.data;
      const values = series.size >= seriesMax ? labels.map(() => "") : given;
      const key = values.join("\0");
      const made = series.get(key) ?? {
        text: labelText(labels.map((name, i) => [name, values[i] ?? ""])),
        data: make(),
      };
      series.set(key, made);
      return made.data;
    },
    print: <U>(print: (text: string, data: T) => U): U[] =>
      [...series.values()].map(({ text, data }) => print(text, data)),
  };
};

const bucketLines = (
  name: string,
  bounds: readonly number[],
  text: string,
  { counts, sum }: { readonly counts: Float64Array; readonly sum: number },
): string[] => {
  const inner = text === "" ? "" : `${text.slice(1, -1)},`;
  let total = 0;
  const lines = [...bounds, Number.POSITIVE_INFINITY].map((bound, i) => {
    total += counts[i] ?? 0;
    return `${name}_bucket{${inner}le="${bound === Number.POSITIVE_INFINITY ? "+Inf" : bound}"} ${total}`;
  });
  return [...lines, `${name}_sum${text} ${sum}`, `${name}_count${text} ${total}`];
};

const labelText = (labels: readonly (readonly [string, string])[]): string =>
  labels.length === 0 ? "" : `{${labels.map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`;

const escaped = (value: string): string => value.replace(/[\\"]/g, (c) => `\\${c}`).replace(/\n/g, "\\n");

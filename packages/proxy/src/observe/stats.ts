/** The contract between what counts and what prints. */
export interface Counter {
  add(n: number): void;
  readonly value: number;
}
export interface Gauge {
  add(n: number): void;
  set(n: number): void;
  readonly value: number;
}
export interface Histogram {
  record(value: number): void;
}

/**
 * All statistics of the process. Looking one up is for configuration time; adding is for the request path and
 * costs one typed-array store. The same name (and labels) always gives the same series.
 */
export interface Stats {
  /** Envoy-style dotted name, as `/stats` prints it: `http.inbound.downstream_rq_total`. */
  counter(name: string): Counter;
  gauge(name: string): Gauge;
  histogram(name: string): Histogram;
  /** A labelled series printed only in Prometheus form: `istio_requests_total{…}`. */
  labelledCounter(name: string, labels: Labels): Counter;
  labelledHistogram(name: string, labels: Labels): Histogram;
  /** Reads values at print time: the cluster counters live in their clusters. */
  collect(source: () => Iterable<readonly [name: string, value: number, type: "counter" | "gauge"]>): Disposable;
}
export type Labels = readonly (readonly [name: string, value: string])[];

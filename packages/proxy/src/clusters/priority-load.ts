/** How load is spread over priorities, after Envoy: lower ones take over as higher ones lose healthy hosts. */

export interface HealthCount {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

/** Hosts of one priority, counted without those that are not to count. */
export interface PriorityCount extends HealthCount {
  /** With those. */
  readonly all: number;
  /** What its capacity follows from: the same numbers, or weights. */
  readonly capacity: HealthCount;
}

export interface PriorityLoad {
  /** Percent of requests that go to healthy, to degraded hosts of each priority; together 100. */
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
  /** In panic all hosts of the priority are used, healthy or not. */
  readonly panic: readonly boolean[];
}

export interface LoadOptions {
  readonly overprovisioning: number;
  /** Percent of available hosts below which a priority panics; 0 never. */
  readonly panicThreshold: number;
}

const sum = (list: readonly number[]): number => list.reduce((total, n) => total + n, 0);

/** Percent of a priority's need that so many of its hosts can serve. */
const capacity = (part: number, total: number, overprovisioning: number): number =>
  total === 0 ? 0 : Math.min(100, Math.floor((100 * overprovisioning * part) / total));

const distribute = (availability: readonly number[], load: number, whole: number): number[] => {
  let left = load;
  return availability.map((available) => {
    const part = Math.min(left, Math.floor((available * 100) / whole));
    left -= part;
    return part;
  });
};

/** In total panic each priority gets load by its number of hosts. */
const totalPanic = (counts: readonly PriorityCount[]): number[] => {
  const whole = sum(counts.map(({ all }) => all));
  const load = counts.map(({ all }) => (whole === 0 ? 0 : Math.floor((100 * all) / whole)));
  const first = Math.max(
    0,
    counts.findIndex(({ all }) => all > 0),
  );
  load[first] = (load[first] ?? 0) + 100 - sum(load);
  return load;
};

export const priorityLoad = (counts: readonly PriorityCount[], options: LoadOptions): PriorityLoad => {
  const { overprovisioning, panicThreshold } = options;
  const nothing = counts.map(() => 0);
  const healthy = counts.map(({ capacity: { healthy: n, total } }) => capacity(n, total, overprovisioning));
  const degraded = counts.map(({ capacity: { degraded: n, total } }) => capacity(n, total, overprovisioning));
  const whole = Math.min(100, sum(healthy) + sum(degraded));
  if (whole === 0 && panicThreshold === 0) {
    return {
      healthy: counts.map((_, index) => (index === 0 ? 100 : 0)),
      degraded: nothing,
      panic: nothing.map(() => false),
    };
  }
  const panic = counts.map(({ total, healthy: n, degraded: d }) =>
    whole === 100 ? false : (total === 0 ? 0 : (100 * (n + d)) / total) < panicThreshold,
  );
  if (panic.every((panics) => panics)) return { healthy: totalPanic(counts), degraded: nothing, panic };
  const healthyLoad = distribute(healthy, 100, whole);
  const degradedLoad = distribute(degraded, 100 - sum(healthyLoad), whole);
  // What is left is rounding; the first priority that can take it does.
  const left = 100 - sum(healthyLoad) - sum(degradedLoad);
  const firstHealthy = healthy.findIndex((n) => n > 0);
  const target = firstHealthy >= 0 ? healthyLoad : degradedLoad;
  const index = firstHealthy >= 0 ? firstHealthy : degraded.findIndex((n) => n > 0);
  if (index >= 0) target[index] = (target[index] ?? 0) + left;
  return { healthy: healthyLoad, degraded: degradedLoad, panic };
};

/** Counts what configuration put in, changed and took away, under Envoy's names for its managers. */
import type { DataPlane, ResourceChange } from "../runtime/data-plane.ts";
import type { Counter, Stats } from "./stats.ts";

type Applies = Pick<DataPlane, "apply" | "check" | "checkAhead">;

interface ManagerCounters {
  readonly added: Counter;
  readonly modified: Counter;
  readonly removed: Counter;
}

const counters = (stats: Stats, manager: string, one: string): ManagerCounters => ({
  added: stats.counter(`${manager}.${one}_added`),
  modified: stats.counter(`${manager}.${one}_modified`),
  removed: stats.counter(`${manager}.${one}_removed`),
});

/** The same data plane, its changes of clusters and listeners counted as they take effect. */
export const countChanges = (dataPlane: Applies, stats: Stats): Applies => {
  const managers = new Map([
    ["cluster", { names: new Set<string>(), counters: counters(stats, "cluster_manager", "cluster") }],
    ["listener", { names: new Set<string>(), counters: counters(stats, "listener_manager", "listener") }],
  ]);
  const created = stats.counter("listener_manager.listener_create_success");
  const count = ({ kind, name, json }: ResourceChange): void => {
    const manager = managers.get(kind);
    if (manager === undefined) return;
    const { names, counters } = manager;
    if (json === undefined) {
      if (names.delete(name)) counters.removed.add(1);
    } else if (names.has(name)) counters.modified.add(1);
    else {
      names.add(name);
      counters.added.add(1);
      if (kind === "listener") created.add(1);
    }
  };
  return {
    check: (change) => dataPlane.check(change),
    checkAhead: (...of) => dataPlane.checkAhead?.(...of),
    apply: (changes) => {
      const rejections = dataPlane.apply(changes);
      const refused = new Set(rejections.map(({ kind, name }) => `${kind} ${name}`));
      for (const change of changes) if (!refused.has(`${change.kind} ${change.name}`)) count(change);
      return rejections;
    },
  };
};

/** The hosts a cluster has now, and the pick among them, put together anew when they change. */
import type { PickHost } from "../balancers/balancer.ts";
import type { ClusterCounters } from "./cluster.ts";
import type { EndpointSpec } from "./endpoints.ts";
import { checkFlags, type Host, seenBits } from "./host.ts";
import { type CountsOfHost, type HostChange, reconcile } from "./host-set.ts";
import { isExcluded } from "./priority-sets.ts";

export interface HostTable {
  readonly list: () => readonly Host[];
  readonly byAddress: () => Map<string, Host>;
  readonly pick: PickHost;
  /** Takes these endpoints in place of all there were. */
  readonly settle: (endpoints: readonly EndpointSpec[]) => HostChange;
  /** Health or membership changed from outside; the next pick finds out who may be picked. */
  readonly changed: () => void;
  /** The same, but who may be picked stays as it is: what hosts are out of use for, and what is counted of them. */
  readonly watch: () => void;
}

export interface HostTableTools {
  readonly counters: ClusterCounters;
  /** Builds the pick; several changes in one turn cost one build. */
  readonly build: (hosts: readonly Host[]) => PickHost;
  readonly onRemoved: (host: Host) => void;
  /** Outlier detection or a check has put it out: its connections are not to be used any more. */
  readonly onOut: (host: Host) => void;
  readonly countsOf: CountsOfHost;
  /** Whether a host stays that no endpoint names any more. */
  readonly stays: (host: Host) => boolean;
  readonly nowMs: () => number;
}

export const createHostTable = (initial: Map<string, Host>, tools: HostTableTools): HostTable => {
  const { counters, build, onRemoved, onOut, nowMs } = tools;
  let hosts = initial;
  let list: readonly Host[] = [...hosts.values()];
  let pick: PickHost | undefined;

  /** Finds out what has become of a host since it was looked at last. */
  const watch = (host: Host): void => {
    const failed = (host.counts.checked & checkFlags.failed) !== 0;
    const seen = (host.ejected || failed ? seenBits.out : 0) | (failed ? seenBits.failedCheck : 0);
    const before = host.seen;
    host.seen = seen;
    if (seen !== 0 && (before & seenBits.out) === 0) onOut(host);
    const passesAgain = (before & seenBits.failedCheck) !== 0 && !failed;
    if (passesAgain || (Number.isNaN(host.healthySinceMs) && host.state === "healthy")) host.healthySinceMs = nowMs();
  };

  /** Hosts that connections and requests ask for come and go in the map itself. */
  const follow = (): void => {
    if (list.length === hosts.size) return;
    const before = list;
    list = [...hosts.values()];
    if (list.length > before.length) return;
    const now = new Set(list);
    for (const host of before) if (!now.has(host)) onRemoved(host);
  };

  const watchAll = (): void => {
    follow();
    let healthy = 0;
    let degraded = 0;
    let excluded = 0;
    for (const host of list) {
      watch(host);
      const { state } = host;
      if (state === "healthy") healthy++;
      else if (state === "degraded") degraded++;
      if (isExcluded(host)) excluded++;
    }
    counters.membershipTotal = list.length;
    counters.membershipHealthy = healthy;
    counters.membershipDegraded = degraded;
    counters.membershipExcluded = excluded;
  };

  const changed = (): void => {
    pick = undefined;
    watchAll();
  };

  return {
    list: () => list,
    byAddress: () => hosts,
    pick: (request) => {
      pick ??= build(list);
      return pick(request);
    },
    settle: (endpoints) => {
      const result = reconcile(hosts, endpoints, tools);
      hosts = result.hosts;
      if (result.change.added.length + result.change.removed.length > 0) counters.membershipChange++;
      list = [...hosts.values()];
      for (const host of result.change.removed) onRemoved(host);
      changed();
      return result.change;
    },
    changed,
    watch: watchAll,
  };
};

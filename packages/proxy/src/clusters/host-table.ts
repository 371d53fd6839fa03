/** The hosts a cluster has now, and the pick among them, put together anew when they change. */
import type { PickHost } from "../balancers/balancer.ts";
import type { ClusterCounters } from "./cluster.ts";
import type { EndpointSpec } from "./endpoints.ts";
import type { Host } from "./host.ts";
import { type CountsOfHost, type HostChange, reconcile } from "./host-set.ts";

export interface HostTable {
  readonly list: () => readonly Host[];
  readonly byAddress: () => Map<string, Host>;
  readonly pick: PickHost;
  /** Takes these endpoints in place of all there were. */
  readonly settle: (endpoints: readonly EndpointSpec[]) => HostChange;
  /** Health or membership changed from outside; the next pick finds out who may be picked. */
  readonly changed: () => void;
}

export interface HostTableTools {
  readonly counters: ClusterCounters;
  /** Builds the pick; several changes in one turn cost one build. */
  readonly build: (hosts: readonly Host[]) => PickHost;
  readonly onRemoved: (host: Host) => void;
  readonly countsOf: CountsOfHost;
}

export const createHostTable = (initial: Map<string, Host>, tools: HostTableTools): HostTable => {
  const { counters, build, onRemoved } = tools;
  let hosts = initial;
  let list: readonly Host[] = [...hosts.values()];
  let pick: PickHost | undefined;

  const changed = (): void => {
    pick = undefined;
    if (list.length !== hosts.size) list = [...hosts.values()];
    let healthy = 0;
    let degraded = 0;
    for (const { health, ejected } of list) {
      if (ejected) continue;
      if (health === "healthy") healthy++;
      else if (health === "degraded") degraded++;
    }
    counters.membershipTotal = list.length;
    counters.membershipHealthy = healthy;
    counters.membershipDegraded = degraded;
  };

  return {
    list: () => list,
    byAddress: () => hosts,
    pick: (request) => {
      pick ??= build(list);
      return pick(request);
    },
    settle: (endpoints) => {
      const result = reconcile(hosts, endpoints, tools.countsOf);
      hosts = result.hosts;
      if (result.change.added.length + result.change.removed.length > 0) counters.membershipChange++;
      list = [...hosts.values()];
      for (const host of result.change.removed) onRemoved(host);
      changed();
      return result.change;
    },
    changed,
  };
};

/** What `/stats` tells of clusters and listeners, read where it is counted. */
import type { Cluster } from "../clusters/cluster.ts";
import { namedClusterCounters } from "../clusters/counters.ts";
import type { DataPlane } from "../runtime/data-plane.ts";
import type { Stats } from "./stats.ts";

/** Envoy's number for no limit. */
const unlimited = 0xffff_ffff;

type Value = readonly [name: string, value: number, type: "counter" | "gauge"];

/** A breaker is open, 1, while what is in use has reached its limit. */
function* breakers(prefix: string, { limits, load }: Pick<Cluster, "limits" | "load">): Generator<Value> {
  const all = [
    ["cx_open", "remaining_cx", load.connections, limits.maxConnections],
    ["rq_pending_open", "remaining_pending", load.pendingRequests, limits.maxPendingRequests],
    ["rq_open", "remaining_rq", load.requests, limits.maxRequests],
    ["rq_retry_open", "remaining_retries", load.retries, limits.maxRetries],
  ] as const;
  for (const [open, remaining, used, max] of all) {
    yield [`${prefix}.${open}`, used >= max ? 1 : 0, "gauge"];
    if (limits.tracksRemaining) yield [`${prefix}.${remaining}`, Math.max(0, Math.min(max, unlimited) - used), "gauge"];
  }
}

function* allBreakers(cluster: Cluster): Generator<Value> {
  const prefix = `cluster.${cluster.statName}.circuit_breakers`;
  yield* breakers(`${prefix}.default`, cluster);
  if (cluster.highLimits?.given && cluster.high) yield* breakers(`${prefix}.high`, cluster.high());
}

/** Envoy's characters for what a stat name cannot have. */
const statAddress = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  host.includes(":") ? `[${host.replaceAll(":", "_")}]_${port}` : `${host}_${port}`;

/** Publishes the counters of every cluster and the connections of every listener, under Envoy's names. */
export const collectTraffic = (stats: Stats, dataPlane: Pick<DataPlane, "clusters" | "listeners">): Disposable =>
  stats.collect(function* () {
    for (const cluster of dataPlane.clusters()) {
      yield* namedClusterCounters(cluster.statName, cluster.counters);
      yield* allBreakers(cluster);
    }
    for (const { address, connections } of dataPlane.listeners()) {
      if (address) yield [`listener.${statAddress(address)}.downstream_cx_active`, connections, "gauge"];
    }
  });

/** What `/stats` tells of clusters and listeners, read where it is counted. */
import type { Cluster } from "../clusters/cluster.ts";
import { namedClusterCounters } from "../clusters/counters.ts";
import type { DataPlane } from "../runtime/data-plane.ts";
import type { Stats } from "./stats.ts";

type Value = readonly [name: string, value: number, type: "counter" | "gauge"];

/** A breaker is open, 1, while what is in use has reached its limit. */
function* breakers({ statName, limits, load }: Cluster): Generator<Value> {
  const open = (used: number, max: number): number => (used >= max ? 1 : 0);
  const prefix = `cluster.${statName}.circuit_breakers.default`;
  yield [`${prefix}.cx_open`, open(load.connections, limits.maxConnections), "gauge"];
  yield [`${prefix}.rq_pending_open`, open(load.pendingRequests, limits.maxPendingRequests), "gauge"];
  yield [`${prefix}.rq_open`, open(load.requests, limits.maxRequests), "gauge"];
  yield [`${prefix}.rq_retry_open`, open(load.retries, limits.maxRetries), "gauge"];
}

/** Envoy's characters for what a stat name cannot have. */
const statAddress = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  host.includes(":") ? `[${host.replaceAll(":", "_")}]_${port}` : `${host}_${port}`;

/** Publishes the counters of every cluster and the connections of every listener, under Envoy's names. */
export const collectTraffic = (stats: Stats, dataPlane: Pick<DataPlane, "clusters" | "listeners">): Disposable =>
  stats.collect(function* () {
    for (const cluster of dataPlane.clusters()) {
      yield* namedClusterCounters(cluster.statName, cluster.counters);
      yield* breakers(cluster);
    }
    for (const { address, connections } of dataPlane.listeners()) {
      if (address) yield [`listener.${statAddress(address)}.downstream_cx_active`, connections, "gauge"];
    }
  });

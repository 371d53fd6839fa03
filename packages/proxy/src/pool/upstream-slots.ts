import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";

/** Connections and waiting requests of a cluster against its circuit breakers, with the counters that go with them. */

export const mayConnect = (cluster: Cluster): boolean => cluster.load.connections < cluster.limits.maxConnections;

export const connectionOpened = (cluster: Cluster, host: Host): void => {
  cluster.load.connections++;
  cluster.counters.upstreamCxTotal++;
  cluster.counters.upstreamCxActive++;
  host.stats.cxTotal++;
  host.stats.cxActive++;
};

export const connectionClosed = (cluster: Cluster, host: Host): void => {
  cluster.load.connections--;
  cluster.counters.upstreamCxActive--;
  cluster.counters.upstreamCxDestroy++;
  host.stats.cxActive--;
};

export const connectionFailed = (cluster: Cluster, timedOut: boolean): void => {
  cluster.counters.upstreamCxConnectFail++;
  if (timedOut) cluster.counters.upstreamCxConnectTimeout++;
};

/** False when the pending limit is reached: the request overflows. */
export const enterPending = (cluster: Cluster): boolean => {
  if (cluster.load.pendingRequests >= cluster.limits.maxPendingRequests) {
    cluster.counters.upstreamRqPendingOverflow++;
    return false;
  }
  cluster.load.pendingRequests++;
  cluster.counters.upstreamRqPendingTotal++;
  cluster.counters.upstreamRqPendingActive++;
  return true;
};

export const leavePending = (cluster: Cluster): void => {
  cluster.load.pendingRequests--;
  cluster.counters.upstreamRqPendingActive--;
};

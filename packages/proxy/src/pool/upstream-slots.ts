import { breakers } from "../clusters/circuit-load.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";

/** Connections and waiting requests of a cluster against its circuit breakers, with the counters that go with them. */

/** Whether its host takes another connection, of whichever thread. */
const hostHasRoom = ({ limits }: Cluster, { stats, counts }: Host): boolean =>
  limits.maxHostConnections === undefined || stats.cxActive + counts.connectionsElsewhere < limits.maxHostConnections;

export const mayConnect = (cluster: Cluster, host: Host): boolean =>
  cluster.load.connections < cluster.limits.maxConnections && hostHasRoom(cluster, host);

/** False when the connection limit is reached. What was reserved is opened, or given back by `connectionNotMade`. */
export const reserveConnection = (cluster: Cluster, host: Host): boolean =>
  hostHasRoom(cluster, host) && cluster.load.take(breakers.connections, cluster.limits.maxConnections);

/** The same beyond the limit. */
export const forceConnection = (cluster: Cluster): void => cluster.load.force(breakers.connections);

export const connectionNotMade = (cluster: Cluster): void => cluster.load.give(breakers.connections);

/** What was reserved is in use. */
export const connectionOpened = (cluster: Cluster, host: Host): void => {
  cluster.counters.upstreamCxTotal++;
  cluster.counters.upstreamCxActive++;
  host.stats.cxTotal++;
  host.stats.cxActive++;
};

export const connectionClosed = (cluster: Cluster, host: Host): void => {
  cluster.load.give(breakers.connections);
  cluster.counters.upstreamCxActive--;
  cluster.counters.upstreamCxDestroy++;
  host.stats.cxActive--;
};

export const connectionFailed = (cluster: Cluster, timedOut: boolean): void => {
  cluster.counters.upstreamCxConnectFail++;
  if (timedOut) cluster.counters.upstreamCxConnectTimeout++;
};

/** False when the pending limit is reached: the request overflows. */
export const enterPending = (cluster: Cluster, host: Host): boolean => {
  if (!cluster.load.take(breakers.pendingRequests, cluster.limits.maxPendingRequests)) {
    cluster.counters.upstreamRqPendingOverflow++;
    return false;
  }
  cluster.counters.upstreamRqPendingTotal++;
  cluster.counters.upstreamRqPendingActive++;
  host.stats.rqPendingActive++;
  return true;
};

export const leavePending = (cluster: Cluster, host: Host): void => {
  cluster.load.give(breakers.pendingRequests);
  cluster.counters.upstreamRqPendingActive--;
  host.stats.rqPendingActive--;
};

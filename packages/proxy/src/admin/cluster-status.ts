/** `/clusters`, as text and as Envoy's ClusterStatuses. */
import type { JsonObject } from "@bufbuild/protobuf";
import type { CircuitLimits, Cluster } from "../clusters/cluster.ts";
import { healthFlags } from "../clusters/health-flags.ts";
import { checkFlags, type Host } from "../clusters/host.ts";
import { oneLine } from "../observe/one-line.ts";

/** Envoy's unsigned 32-bit maximum stands for unlimited. */
const unlimited = 4_294_967_295;
const bounded = (limit: number): number => (Number.isFinite(limit) ? limit : unlimited);

const gauges: ReadonlySet<string> = new Set(["cx_active", "rq_active", "rq_pending_active"]);
const hostStats = ({ stats, activeRequests }: Host): readonly (readonly [string, number])[] => [
  ["cx_active", stats.cxActive],
  ["cx_connect_fail", stats.cxConnectFail],
  ["cx_total", stats.cxTotal],
  ["rq_active", activeRequests],
  ["rq_error", stats.rqError],
  ["rq_pending_active", stats.rqPendingActive],
  ["rq_success", stats.rqSuccess],
  ["rq_timeout", stats.rqTimeout],
  ["rq_total", stats.rqTotal],
];

const edsName = ({ discovery }: Cluster): string | undefined =>
  discovery.kind === "eds" ? discovery.serviceName : undefined;

export interface ClusterListing {
  readonly cluster: Cluster;
  readonly addedViaApi: boolean;
}

export const clustersText = (clusters: readonly ClusterListing[]): string => {
  const lines: string[] = [];
  for (const { cluster, addedViaApi } of clusters) {
    const { name, limits, highLimits = limits } = cluster;
    const put = (...parts: readonly (string | number)[]): void => {
      lines.push([name, ...parts].join("::"));
    };
    put("observability_name", cluster.statName);
    for (const [priority, of] of [["default_priority", limits] as const, ["high_priority", highLimits] as const]) {
      put(priority, "max_connections", bounded(of.maxConnections));
      put(priority, "max_pending_requests", bounded(of.maxPendingRequests));
      put(priority, "max_requests", bounded(of.maxRequests));
      put(priority, "max_retries", bounded(of.maxRetries));
    }
    put("added_via_api", String(addedViaApi));
    const eds = edsName(cluster);
    if (eds !== undefined) put("eds_service_name", eds);
    for (const host of cluster.hosts()) {
      for (const [stat, value] of hostStats(host)) put(host.address, stat, value);
      put(host.address, "hostname", host.hostname);
      put(host.address, "health_flags", healthFlags(host));
      put(host.address, "weight", host.weight);
      put(host.address, "region", host.locality.region);
      put(host.address, "zone", host.locality.zone);
      put(host.address, "sub_zone", host.locality.subZone);
      put(host.address, "canary", "false");
      put(host.address, "priority", host.priority);
      put(host.address, "success_rate", "-1");
      put(host.address, "local_origin_success_rate", "-1");
    }
  }
  return lines.length === 0 ? "" : `${lines.map(oneLine).join("\n")}\n`;
};

const edsHealth = ({ health, edsStatus }: Host): string => {
  if (edsStatus === "DRAINING") return edsStatus;
  return health === "unhealthy" ? "UNHEALTHY" : health === "degraded" ? "DEGRADED" : "HEALTHY";
};

const flag = (name: string, holds: boolean): JsonObject => (holds ? { [name]: true } : {});

const hostStatus = (host: Host): JsonObject => {
  const { region, zone, subZone } = host.locality;
  const { checked } = host.counts;
  const address: JsonObject =
    host.target.kind === "ip"
      ? { socket_address: { address: host.target.host, port_value: host.target.port } }
      : { pipe: { path: host.target.path } };
  return {
    address,
    stats: hostStats(host).map(([name, value]) => ({
      ...(value === 0 ? {} : { value: String(value) }),
      ...(gauges.has(name) ? { type: "GAUGE" } : {}),
      name,
    })),
    health_status: {
      ...flag("failed_active_health_check", (checked & checkFlags.failed) !== 0),
      ...flag("failed_outlier_check", host.ejected),
      ...flag("failed_active_degraded_check", (checked & checkFlags.degraded) !== 0),
      ...flag("pending_dynamic_removal", (checked & checkFlags.leaving) !== 0),
      ...flag("pending_active_hc", (checked & checkFlags.pending) !== 0),
      ...flag("excluded_via_immediate_hc_fail", (checked & checkFlags.excluded) !== 0),
      ...flag("active_hc_timeout", (checked & checkFlags.timeout) !== 0),
      eds_health_status: edsHealth(host),
    },
    weight: host.weight,
    ...(host.priority === 0 ? {} : { priority: host.priority }),
    ...(host.hostname === "" ? {} : { hostname: host.hostname }),
    locality: {
      ...(region === "" ? {} : { region }),
      ...(zone === "" ? {} : { zone }),
      ...(subZone === "" ? {} : { sub_zone: subZone }),
    },
  };
};

export const clustersJson = (clusters: readonly ClusterListing[]): JsonObject => ({
  cluster_statuses: clusters.map(({ cluster, addedViaApi }): JsonObject => {
    const { limits, highLimits = limits } = cluster;
    const threshold = (of: CircuitLimits): JsonObject => ({
      max_connections: bounded(of.maxConnections),
      max_pending_requests: bounded(of.maxPendingRequests),
      max_requests: bounded(of.maxRequests),
      max_retries: bounded(of.maxRetries),
    });
    const eds = edsName(cluster);
    return {
      name: cluster.name,
      ...(addedViaApi ? { added_via_api: true } : {}),
      host_statuses: cluster.hosts().map(hostStatus),
      circuit_breakers: { thresholds: [threshold(limits), { priority: "HIGH", ...threshold(highLimits) }] },
      observability_name: cluster.statName,
      ...(eds === undefined ? {} : { eds_service_name: eds }),
    };
  }),
});

/** What `/stats` and Prometheus tell of discovery, by Envoy's and Istio's names. */
import type { SubscribedKind } from "@weft/xds/resource";
import type { Stats } from "../observe/stats.ts";
import type { DataPlane } from "../runtime/data-plane.ts";
import type { ResourceStore } from "./resource-store.ts";
import type { XdsClientMetrics } from "./xds-client.ts";

const prefixes: { readonly [K in SubscribedKind]: string } = {
  cluster: "cluster_manager.cds",
  endpoints: "cluster_manager.eds",
  listener: "listener_manager.lds",
  route: "http.rds",
  secret: "sds",
  virtualHost: "http.vhds",
};

export const xdsClientMetrics = (stats: Stats): XdsClientMetrics => ({
  connected: stats.gauge("control_plane.connected_state"),
  connectionErrors: stats.labelledCounter("istio_agent_xds_connection_errors_total", []),
  latencySeconds: stats.labelledHistogram("istio_agent_xds_latency_seconds", []),
  unknownFields: stats.counter("server.dynamic_unknown_fields"),
  answered: (of, rejected) => {
    stats.counter(`${prefixes[of]}.update_attempt`).add(1);
    stats.counter(`${prefixes[of]}.${rejected > 0 ? "update_rejected" : "update_success"}`).add(1);
  },
});

/** Gauges read when printed, from what is in force. */
export const collectDiscovery = (
  stats: Stats,
  store: ResourceStore,
  dataPlane: Pick<DataPlane, "listeners">,
): Disposable =>
  stats.collect(function* () {
    for (const [kind, name] of [
      ["cluster", "cluster_manager"],
      ["listener", "listener_manager"],
    ] as const) {
      let active = 0;
      let warming = 0;
      for (const entry of store.entries(kind).values()) {
        if (entry.active) active++;
        if (entry.warming) warming++;
      }
      const total = kind === "cluster" ? "" : "total_listeners_";
      const plural = kind === "cluster" ? "_clusters" : "";
      yield [`${name}.${total}active${plural}`, active, "gauge"];
      yield [`${name}.${total}warming${plural}`, warming, "gauge"];
    }
    const listeners = dataPlane.listeners();
    const draining = listeners.filter(({ state }) => state === "draining").length;
    const failed = listeners.filter(({ state }) => state === "failed").length;
    yield ["listener_manager.total_listeners_draining", draining, "gauge"];
    yield ["listener_manager.listener_create_failure", failed, "counter"];
  });

export interface ServerFacts {
  readonly live: () => boolean;
  /** Envoy's numbers: 0 live, 1 draining, 2 pre-initializing, 3 initializing. */
  readonly state: () => number;
  readonly uptimeSeconds: () => number;
  readonly memory: () => { readonly allocated: number; readonly heapSize: number; readonly physical: number };
  readonly concurrency: number;
}

export const collectServer = (stats: Stats, facts: ServerFacts): Disposable =>
  stats.collect(function* () {
    const { allocated, heapSize, physical } = facts.memory();
    yield ["server.live", facts.live() ? 1 : 0, "gauge"];
    yield ["server.state", facts.state(), "gauge"];
    yield ["server.uptime", Math.floor(facts.uptimeSeconds()), "gauge"];
    yield ["server.concurrency", facts.concurrency, "gauge"];
    yield ["server.memory_allocated", allocated, "gauge"];
    yield ["server.memory_heap_size", heapSize, "gauge"];
    yield ["server.memory_physical_size", physical, "gauge"];
  });

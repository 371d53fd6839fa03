/** A proxy made of what its config dump says, compiled as the sidecar compiles it: it decides alike and serves nobody. */
import { type CompiledCluster, compileCluster } from "@weft/proxy/clusters/compile-cluster";
import { checkFlags } from "@weft/proxy/clusters/host";
import type { RouteSource } from "@weft/proxy/http/hcm-settings";
import { type CompiledListener, compileListener } from "@weft/proxy/listeners/compile-listener";
import { type Destination, DestinationTable } from "@weft/proxy/listeners/destination-table";
import type { Route } from "@weft/proxy/routing/route";
import { compileRouteTable } from "@weft/proxy/routing/route-table";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { createEngine, type Engine } from "./engine.ts";
import type { HostStatus, ProxyResources } from "./resources.ts";

/** Where a compiled route was written. */
export interface RoutePlace {
  readonly table: RouteConfigurationJson;
  readonly host: VirtualHostJson;
  readonly route: RouteJson;
  readonly index: number;
}

export interface OfflineListener {
  readonly config: CompiledListener;
  readonly json: ListenerJson;
}

/** A cluster with its hosts, as healthy as the proxy sees them where it could be asked. */
export interface OfflineCluster {
  readonly cluster: CompiledCluster;
  /** Hosts come by DNS and nobody could be asked which. */
  readonly hostsUnknown: boolean;
}

export interface OfflineProxy {
  readonly engine: Engine;
  readonly resources: ProxyResources;
  /** What cannot be compiled is left out, with the reason in `problems`. */
  readonly listeners: readonly OfflineListener[];
  readonly problems: readonly string[];
  /** The listener that gets a connection to that address handed over by `from`. */
  destination(host: string, port: number, from: OfflineListener | undefined): OfflineListener | undefined;
  placeOf(route: Route | undefined): RoutePlace | undefined;
  cluster(name: string): OfflineCluster | undefined;
}

/** Under this name a route carries its number in the list of places. */
const markName = "weft.why";

const createMarks = () => {
  const places: RoutePlace[] = [];
  // It has all that it is to decide by: nobody is asked for more.
  const mark = ({ vhds: _, ...table }: RouteConfigurationJson): RouteConfigurationJson => ({
    ...table,
    virtualHosts: (table.virtualHosts ?? []).map((host) => ({
      ...host,
      routes: (host.routes ?? []).map((route, index) => {
        const place = places.push({ table, host, route, index }) - 1;
        const filterMetadata = { ...route.metadata?.filterMetadata, [markName]: { place } };
        return { ...route, metadata: { ...route.metadata, filterMetadata } };
      }),
    })),
  });
  return {
    mark,
    find: (route: Route | undefined): RoutePlace | undefined => {
      const place = route?.metadata[markName]?.place;
      return typeof place === "number" ? places[place] : undefined;
    },
  };
};

/** Stands for the listener that a connection was not handed over by. */
const nowhere: Destination = { config: { addresses: [] } };

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const openOffline = (resources: ProxyResources): OfflineProxy => {
  const marks = createMarks();
  const problems: string[] = [];
  const attempt = <T>(what: string, run: () => T): T | undefined => {
    try {
      return run();
    } catch (error) {
      problems.push(`${what}: ${reason(error)}`);
      return undefined;
    }
  };
  const sources = new Map<string, RouteSource>();
  const routeSource = (name: string): RouteSource => {
    const known = sources.get(name);
    if (known) return known;
    const json = resources.routes.get(name);
    const table = json && attempt(`route table ${name}`, () => compileRouteTable(marks.mark(json), engine.compile));
    const source = { table };
    sources.set(name, source);
    return source;
  };
  const engine = createEngine(routeSource);
  const listeners = resources.listeners.flatMap((json): readonly OfflineListener[] => {
    const marked = markInline(json, marks.mark);
    const config = attempt(`listener ${json.name}`, () => compileListener(marked, engine.terminals));
    return config ? [{ config, json }] : [];
  });
  const destinations = new DestinationTable<Destination>(() => listeners);
  const clusters = new Map<string, OfflineCluster | undefined>();
  return {
    engine,
    resources,
    listeners,
    problems,
    destination: (host, port, from) => {
      const found = destinations.find({ host, port }, from ?? nowhere);
      return listeners.find((listener) => listener === found);
    },
    placeOf: marks.find,
    cluster(name) {
      if (!clusters.has(name)) {
        clusters.set(
          name,
          attempt(`cluster ${name}`, () => openCluster(name, resources, engine)),
        );
      }
      return clusters.get(name);
    },
  };
};

/** Route tables within the listener's connection managers are marked where they stand. */
const markInline = (
  json: ListenerJson,
  mark: (table: RouteConfigurationJson) => RouteConfigurationJson,
): ListenerJson => {
  const chain = (each: FilterChainJson): FilterChainJson => ({
    ...each,
    filters: (each.filters ?? []).map((filter) => {
      const config = filter.typedConfig as { readonly routeConfig?: RouteConfigurationJson } | undefined;
      if (config?.routeConfig === undefined) return filter;
      return { ...filter, typedConfig: { ...filter.typedConfig, routeConfig: mark(config.routeConfig) } as never };
    }),
  });
  return {
    ...json,
    ...(json.filterChains ? { filterChains: json.filterChains.map(chain) } : {}),
    ...(json.defaultFilterChain ? { defaultFilterChain: chain(json.defaultFilterChain) } : {}),
  };
};

const openCluster = (name: string, resources: ProxyResources, engine: Engine): OfflineCluster | undefined => {
  const json = resources.clusters.get(name);
  if (!json) return undefined;
  const cluster = compileCluster(json, undefined, engine.compile);
  const live = resources.live?.get(name);
  const { discovery } = cluster;
  let hostsUnknown = false;
  if (discovery.kind === "eds") {
    const endpoints = resources.endpoints.get(discovery.serviceName);
    if (endpoints) cluster.setEndpoints(endpoints);
  } else if (discovery.kind === "strictDns" || discovery.kind === "logicalDns") {
    for (const target of discovery.names) {
      const found = (live ?? []).filter(({ hostname }) => hostname === target.host);
      cluster.setResolved(
        target,
        found.map(({ address }) => address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "")),
      );
    }
    hostsUnknown = live === undefined && discovery.names.length > 0;
  } else hostsUnknown = discovery.kind !== "static";
  applyHealth(cluster, live);
  return { cluster, hostsUnknown };
};

const checkNames = [
  ["failedActiveHealthCheck", checkFlags.failed],
  ["activeHcTimeout", checkFlags.timeout],
  ["failedActiveDegradedCheck", checkFlags.degraded],
  ["pendingActiveHc", checkFlags.pending],
  ["excludedViaImmediateHcFail", checkFlags.excluded],
] as const;

/** What the proxy found of its hosts: who is ejected, who failed which check. Without its word all checks passed. */
const applyHealth = (cluster: CompiledCluster, live: readonly HostStatus[] | undefined): void => {
  const statuses = new Map((live ?? []).map((status) => [status.address, status]));
  for (const host of cluster.hosts()) {
    const set = statuses.get(host.address)?.flags ?? new Set<string>();
    const checked = checkNames.reduce((flags, [flag, bit]) => (set.has(flag) ? flags | bit : flags), 0);
    if (host.counts.checked !== checked) cluster.setChecked(host, checked);
    if (set.has("failedOutlierCheck")) host.counts.outlier.tryEject();
  }
  cluster.refresh();
};

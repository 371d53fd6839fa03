/** Listeners for calls out of a workload. */

import { formatAddress } from "@weft/core/address";
import { toProtoDuration } from "@weft/core/duration";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { isHttp, isTls } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { httpConnectionManager, httpInspector, tcpFilters, tlsInspector } from "./connection-managers.ts";
import { blackHoleCluster, httpProxyRoute } from "./names.ts";
import { unknownTraffic } from "./outbound-routes.ts";
import { hasIPv6 } from "./proxy-facts.ts";
import type { Scope } from "./scope.ts";
import { tcpDestinations, tlsDestinations } from "./tcp-routes.ts";
import { duration, policyFor } from "./traffic-policy.ts";

export const socketAddress = (address: string, portValue: number) => ({ socketAddress: { address, portValue } });

/** Every address of the proxy's machine: IPv6 too where it has it, since that is then redirected as well. */
export const anyAddress = ({ proxy }: Scope, portValue: number) => ({
  address: socketAddress("0.0.0.0", portValue),
  ...(hasIPv6(proxy) ? { additionalAddresses: [{ address: socketAddress("::", portValue) }] } : {}),
});

/** Explicit mode: one HTTP listener where the application is told to send everything. */
export const explicitListener = (scope: Scope): ListenerJson => {
  const { host, port } = scope.proxy.outbound;
  const name = `${host}_${port}`;
  return {
    name,
    address: socketAddress(host, port),
    trafficDirection: "OUTBOUND",
    statPrefix: `outbound_${name};`,
    filterChains: [
      {
        filters: [
          httpConnectionManager({
            mesh: scope.model.mesh,
            statPrefix: `outbound_${formatAddress(scope.proxy.outbound)};`,
            routes: { rds: httpProxyRoute },
            direction: "outbound",
            native: scope.proxy.native,
            connect: true,
          }),
        ],
      },
    ],
  };
};

const tcpChain = (scope: Scope, clusters: readonly { name: string; weight: number }[], idleTimeout?: string) =>
  tcpFilters({
    mesh: scope.model.mesh,
    statPrefix: clusters.length === 1 ? `${clusters[0]?.name};` : "weighted;",
    clusters,
    direction: "outbound",
    native: scope.proxy.native,
    idleTimeout,
  });

const to = (name: string) => [{ name, weight: 1 }];

/** Intercepted mode's catch-all: connections to nowhere the mesh knows, and a guard against calling itself. */
const virtualOutbound = (scope: Scope): ListenerJson => {
  const port = scope.proxy.outbound.port;
  return {
    name: "virtualOutbound",
    ...anyAddress(scope, port),
    useOriginalDst: true,
    trafficDirection: "OUTBOUND",
    filterChains: [
      {
        name: "virtualOutbound-blackhole",
        filterChainMatch: { destinationPort: port },
        filters: tcpChain(scope, to(blackHoleCluster)),
      },
      { name: "virtualOutbound-catchall-tcp", filters: tcpChain(scope, to(unknownTraffic(scope))) },
    ],
  };
};

interface PortMember {
  readonly service: Service;
  readonly port: ServicePort;
}

const http = (scope: Scope, statPrefix: string, rds: string, grpcWeb = false) =>
  httpConnectionManager({
    mesh: scope.model.mesh,
    statPrefix: `${statPrefix};`,
    routes: { rds },
    direction: "outbound",
    native: scope.proxy.native,
    grpcWeb,
  });

const sniffed = (scope: Scope) => ({
  listenerFilters: [tlsInspector, httpInspector],
  listenerFiltersTimeout: toProtoDuration(scope.model.mesh.protocolDetectionTimeoutMs),
  continueOnListenerFiltersTimeout: true,
});

/**
 * Where every service of a port says that it speaks HTTP, clients begin: our sidecar need not connect ahead for one that
 * is slow to.
 */
const clientFirst = (members: readonly PortMember[]): Pick<ListenerJson, "metadata"> =>
  members.every(({ port }) => isHttp(port.protocol))
    ? { metadata: { filterMetadata: { weft: { clientFirst: true } } } }
    : {};

/** All HTTP of one port: requests are told apart by Host; what is no HTTP passes as it came. */
const sharedPortListener = (scope: Scope, port: number, members: readonly PortMember[]): ListenerJson => ({
  name: `0.0.0.0_${port}`,
  ...anyAddress(scope, port),
  bindToPort: false,
  trafficDirection: "OUTBOUND",
  ...clientFirst(members),
  ...sniffed(scope),
  filterChains: [
    {
      filterChainMatch: { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] },
      filters: [
        http(
          scope,
          `outbound_0.0.0.0_${port}`,
          String(port),
          members.some((m) => m.port.protocol === "grpc-web"),
        ),
      ],
    },
    ...tlsChains(scope, port),
  ],
  defaultFilterChain: { name: "PassthroughFilterChain", filters: tcpChain(scope, to(unknownTraffic(scope))) },
});

/** TLS passed through by server name, for rules and services of that port without an address of their own. */
const tlsChains = (scope: Scope, port: number): FilterChainJson[] =>
  tlsDestinations(scope, port).map(({ serverNames, clusters }) => ({
    filterChainMatch: { transportProtocol: "tls", serverNames: [...serverNames] },
    filters: tcpChain(scope, clusters),
  }));

const idleTimeout = (scope: Scope, { service, port }: PortMember): string | undefined => {
  const policy = scope.model.rules().destinationPolicy(service, scope.proxy);
  const text = policyFor(policy, port.number).connectionPool?.tcp?.idleTimeout;
  return text === undefined ? undefined : duration(text);
};

/** One service's port at one virtual address. */
const addressListener = (scope: Scope, address: string, member: PortMember): ListenerJson => {
  const { service, port } = member;
  const [bind, bits] = address.split("/");
  const wild = bits !== undefined;
  const carried = tcpChain(scope, tcpDestinations(scope, service, port), idleTimeout(scope, member));
  const name = wild ? `0.0.0.0_${port.number}` : `${bind}_${port.number}`;
  const chain: FilterChainJson = wild
    ? { filterChainMatch: { prefixRanges: [{ addressPrefix: bind ?? "", prefixLen: Number(bits) }] }, filters: carried }
    : { filters: carried };
  const common = {
    name,
    address: socketAddress(wild ? "0.0.0.0" : (bind ?? ""), port.number),
    bindToPort: false,
    trafficDirection: "OUTBOUND" as const,
  };
  if (port.protocol !== "auto") return { ...common, filterChains: [chain] };
  const route = `${service.hostname}:${port.number}`;
  return {
    ...common,
    ...sniffed(scope),
    filterChains: [
      {
        filterChainMatch: { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] },
        filters: [http(scope, `outbound_${name}`, route)],
      },
    ],
    defaultFilterChain: chain,
  };
};

export interface OutboundPlan {
  /** Ports whose HTTP shares a listener and a route table. */
  readonly shared: ReadonlyMap<number, readonly PortMember[]>;
  /** Sniffed ports with an address of their own, which have a table of their own. */
  readonly single: readonly PortMember[];
  readonly listeners: readonly ListenerJson[];
}

/** Addresses a service's connections can be told by: its own, or for headless services those of its endpoints. */
const addressesOf = ({ model }: Scope, service: Service): readonly string[] => {
  const own = service.addresses.filter((address) => address !== "0.0.0.0" && address !== "::");
  if (own.length > 0 || !service.headless) return own;
  return [...new Set((model.endpoints.get(service.key)?.endpoints ?? []).map(({ address }) => address))].sort();
};

/** Intercepted mode: what is listened to and which route tables that needs. */
export const planOutbound = (scope: Scope): OutboundPlan => {
  const shared = new Map<number, PortMember[]>();
  const single: PortMember[] = [];
  const listeners = new Map<string, ListenerJson>();
  /** A place taken already gets only the chains that can be told from those there: Envoy refuses two alike. */
  const put = (listener: ListenerJson): void => {
    const name = listener.name ?? "";
    const known = listeners.get(name);
    if (!known) {
      listeners.set(name, listener);
      return;
    }
    const matches = new Set((known.filterChains ?? []).map(({ filterChainMatch }) => JSON.stringify(filterChainMatch)));
    const more = (listener.filterChains ?? []).filter(
      ({ filterChainMatch }) => filterChainMatch && !matches.has(JSON.stringify(filterChainMatch)),
    );
    listeners.set(name, { ...known, filterChains: [...(known.filterChains ?? []), ...more] });
  };
  const carried: (readonly [string, PortMember])[] = [];
  for (const service of scope.model.visibleServices(scope.proxy.namespace).values()) {
    for (const port of service.ports) {
      if (port.protocol === "udp") continue;
      const addresses = addressesOf(scope, service);
      const member = { service, port };
      if (
        isHttp(port.protocol) ||
        (port.protocol === "auto" && addresses.length === 0) ||
        (isTls(port.protocol) && addresses.length === 0)
      ) {
        const members = shared.get(port.number);
        if (members) members.push(member);
        else shared.set(port.number, [member]);
        continue;
      }
      if (port.protocol === "auto") single.push(member);
      for (const address of addresses.length > 0 ? addresses : ["0.0.0.0"]) carried.push([address, member]);
    }
  }
  for (const [port, members] of shared) put(sharedPortListener(scope, port, members));
  for (const [address, member] of carried) put(addressListener(scope, address, member));
  return { shared, single, listeners: [virtualOutbound(scope), ...listeners.values()] };
};

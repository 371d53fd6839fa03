/** Listeners for calls out of a workload. */

import { formatAddress } from "@weft/core/address";
import { toProtoDuration } from "@weft/core/duration";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson, FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { chainMatch, takesAll } from "./chain-match.ts";
import { httpConnectionManager, httpInspector, tlsInspector } from "./connection-managers.ts";
import { limitFilters, localRateLimits } from "./local-rate-limits.ts";
import { blackHoleCluster, httpProxyRoute } from "./names.ts";
import { anyIPv4, type PlannedChain, type PlannedListener } from "./outbound-plan.ts";
import { hasIPv6 } from "./proxy-facts.ts";
import type { Scope } from "./scope.ts";
import { carry } from "./tcp-routes.ts";

export const socketAddress = (address: string, portValue: number) => ({ socketAddress: { address, portValue } });

/** Every address of the proxy's machine: IPv6 too where it has it, since that is then redirected as well. */
export const anyAddress = ({ proxy }: Scope, portValue: number) => ({
  address: socketAddress("0.0.0.0", portValue),
  ...(hasIPv6(proxy) ? { additionalAddresses: [{ address: socketAddress("::", portValue) }] } : {}),
});

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

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
            onDemand: scope.proxy.asksOnDemand,
            limits: limitFilters(localRateLimits(scope, "outbound")),
            connect: true,
            ownCallers: isLoopback(host),
          }),
        ],
      },
    ],
  };
};

const to = (scope: Scope, name: string) => carry(scope, [{ name, weight: 1 }]);

/** Intercepted mode's catch-all: connections to nowhere the mesh knows, and a guard against calling itself. */
export const virtualOutbound = (scope: Scope): ListenerJson => {
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
        filters: to(scope, blackHoleCluster),
      },
      { name: "virtualOutbound-catchall-tcp", filters: to(scope, scope.unknown.cluster) },
    ],
  };
};

const addressOf = (scope: Scope, { bind, port }: PlannedListener) =>
  bind.startsWith("unix://")
    ? { address: { pipe: { path: bind.slice("unix://".length) } } }
    : bind === anyIPv4
      ? anyAddress(scope, port)
      : { address: socketAddress(bind, port) };

/**
 * What no chain takes goes where traffic for unknown places goes. The inspectors run only where a chain asks for what
 * they find.
 */
export const plannedListener = (scope: Scope, plan: PlannedListener): ListenerJson => {
  const name = `${plan.bind}_${plan.port}`;
  const all = plan.chains.find(takesAll);
  const told = plan.chains.filter((chain) => chain !== all);
  const inspectors = [
    ...(told.some(({ serverNames }) => serverNames.length > 0) ? [tlsInspector] : []),
    ...(told.some(({ alpn }) => alpn.length > 0) ? [httpInspector] : []),
  ];
  const chain = (one: PlannedChain): FilterChainJson => ({
    ...(takesAll(one) ? {} : { filterChainMatch: chainMatch(one) }),
    filters: one.kind === "tcp" ? one.filters : [httpManager(scope, plan, one.table)],
  });
  const passthrough = { name: "PassthroughFilterChain", filters: to(scope, scope.unknown.cluster) };
  return {
    name,
    ...addressOf(scope, plan),
    ...(plan.bindToPort ? {} : { bindToPort: false }),
    trafficDirection: "OUTBOUND",
    ...(plan.clientFirst ? { metadata: { filterMetadata: { weft: { clientFirst: true } } } } : {}),
    ...(inspectors.length > 0 ? { listenerFilters: inspectors } : {}),
    listenerFiltersTimeout: inspectors.includes(httpInspector)
      ? toProtoDuration(scope.model.mesh.protocolDetectionTimeoutMs)
      : "0s",
    continueOnListenerFiltersTimeout: true,
    filterChains: told.length > 0 ? told.map(chain) : all ? [chain(all)] : [],
    ...(told.length > 0 ? { defaultFilterChain: all ? chain(all) : passthrough } : {}),
  };
};

const httpManager = (scope: Scope, { bind, port, grpcWeb }: PlannedListener, rds: string): FilterJson =>
  httpConnectionManager({
    mesh: scope.model.mesh,
    statPrefix: `outbound_${bind}_${port};`,
    routes: { rds },
    direction: "outbound",
    native: scope.proxy.native,
    onDemand: scope.proxy.asksOnDemand,
    limits: limitFilters(localRateLimits(scope, "outbound")),
    ownCallers: scope.proxy.mode !== "NONE" || isLoopback(bind),
    grpcWeb,
  });

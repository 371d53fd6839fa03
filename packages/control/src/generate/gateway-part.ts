/** What is an edge proxy's own: listeners of the Gateways that select it, routes of the VirtualServices bound to them. */
import type { Finding } from "@weft/config/finding";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson, FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { isHttp } from "../model/protocol.ts";
import { authorizationOf } from "../model/workload-policies.ts";
import { type ChainConditions, chainMatch, takesAll, withoutOverlap } from "./chain-match.ts";
import { httpConnectionManager, tlsInspector } from "./connection-managers.ts";
import { endpointsOfCluster } from "./endpoints.ts";
import { autoPassthrough, type NamedChain, passthroughServer, tcpServer } from "./gateway-connections.ts";
import {
  type BoundServer,
  endsTls,
  isTlsServer,
  type ListenerServers,
  mergedServers,
  serverNames,
  takesRequests,
} from "./gateway-servers.ts";
import { gatewayTable } from "./gateway-tables.ts";
import { serverSocket } from "./gateway-tls.ts";
import { limitFilters, localRateLimits, withLimitRules } from "./local-rate-limits.ts";
import { socketAddress } from "./outbound-listeners.ts";
import { httpRbac } from "./rbac.ts";
import { emptyDraft, type Generated, noteAt, type ResourceDraft } from "./resource-set.ts";
import type { Scope } from "./scope.ts";

interface Draft {
  readonly scope: Scope;
  readonly draft: ResourceDraft;
  readonly notes: Finding[];
  /** Servers that could not be opened. */
  readonly closed: Set<BoundServer>;
}

export const gatewayPart = (scope: Scope): Generated => {
  const part: Draft = { scope, draft: emptyDraft(), notes: [], closed: new Set() };
  const merged = mergedServers(scope, part.notes);
  for (const group of merged) {
    const listener = listenerFor(part, group);
    if (listener) part.draft.listener.set(listener.name ?? "", listener);
  }
  const requests = merged.flatMap(({ servers }) => {
    const open = servers.filter((bound) => !part.closed.has(bound));
    return open.filter(takesRequests).map((bound) => ({ bound, beside: open }));
  });
  for (const [name, members] of Map.groupBy(requests, ({ bound }) => bound.table)) {
    const servers = members.map(({ bound }) => bound);
    const context = {
      port: servers[0]?.server.port.number ?? 80,
      beside: members.flatMap(({ beside }) => beside),
      notes: part.notes,
    };
    const made = gatewayTable(scope, name, servers, context);
    part.draft.route.set(name, withLimitRules(scope, localRateLimits(scope, "inbound"), made));
  }
  return { resources: part.draft, notes: part.notes };
};

type Chain = ChainConditions & { readonly chain: FilterChainJson; readonly owner: BoundServer };

/** Slow handshakes end after this time, as at Istio's gateways. */
const transportSocketConnectTimeout = "15s";

const listenerFor = (part: Draft, { address, port, servers }: ListenerServers): ListenerJson | undefined => {
  const name = `${address}_${port}`;
  const chains = withoutOverlap(chainsOf(part, name, servers), ({ owner }, what) => {
    const names = what.filter((one) => one !== "").join(", ") || "all names";
    const message = `${names} on port ${port} belong to another server or rule already: they are left out here`;
    part.notes.push(noteAt("WF1539", message, { object: owner.gateway, path: ["spec", "servers", owner.index] }));
  });
  if (chains.length === 0) return undefined;
  const inspects = chains.some((one) => one.serverNames.length > 0 || one.chain.transportSocket);
  return {
    name,
    address: address.startsWith("unix://") ? { pipe: { path: address.slice(7) } } : socketAddress(address, port),
    trafficDirection: "OUTBOUND",
    ...(inspects ? { listenerFilters: [tlsInspector] } : {}),
    filterChains: chains.map((one) => ({
      ...(takesAll(one) ? {} : { filterChainMatch: chainMatch(one) }),
      ...one.chain,
    })),
  };
};

/** One chain for all plain HTTP, then the others in the order of their servers. */
const chainsOf = (part: Draft, listener: string, servers: readonly BoundServer[]): readonly Chain[] => {
  const plain = servers.find(({ protocol }) => isHttp(protocol));
  const own: readonly Chain[] = plain
    ? [{ ...anyone, owner: plain, chain: { filters: [http(part, plain, { listener, secure: false })] } }]
    : [];
  return [
    ...servers.filter(({ protocol }) => !isHttp(protocol)).flatMap((bound) => connectionChains(part, listener, bound)),
    ...own,
  ];
};

const anyone: ChainConditions = { serverNames: [], cidrs: [], alpn: [], transport: "" };

const connectionChains = (part: Draft, listener: string, bound: BoundServer): readonly Chain[] => {
  const { scope, notes, draft } = part;
  if (!isTlsServer(bound)) {
    const filters = tcpServer(scope, bound, notes);
    return filters ? [{ ...anyone, owner: bound, chain: { filters, transportSocketConnectTimeout } }] : [];
  }
  if (endsTls(bound.server)) return endedTls(part, listener, bound);
  if (bound.server.tls?.mode !== "AUTO_PASSTHROUGH") return named(bound, passthroughServer(scope, bound));
  const { chains, clusters } = autoPassthrough(scope, bound);
  for (const cluster of clusters) {
    const name = cluster.name ?? "";
    draft.cluster.set(name, cluster);
    draft.endpoints.set(name, endpointsOfCluster(scope, name));
  }
  return named(bound, chains);
};

const named = (owner: BoundServer, chains: readonly NamedChain[]): readonly Chain[] =>
  chains.map(({ filters, ...conditions }) => ({
    ...anyone,
    ...conditions,
    owner,
    chain: { filters, transportSocketConnectTimeout },
  }));

const endedTls = (part: Draft, listener: string, bound: BoundServer): readonly Chain[] => {
  const { scope, notes, draft } = part;
  const place = { object: bound.gateway, path: ["spec", "servers", bound.index, "tls"] };
  const made = serverSocket(scope, { tls: bound.server.tls ?? {}, requests: takesRequests(bound) });
  if (made.kind === "none") {
    notes.push(noteAt("WF7011", made.why, place, "error"));
    part.closed.add(bound);
    return [];
  }
  for (const warning of made.warnings) notes.push(noteAt("WF1543", warning, place));
  for (const secret of made.secrets) draft.secret.set(secret.name ?? "", secret);
  const filters = takesRequests(bound)
    ? [http(part, bound, { listener, secure: true })]
    : tcpServer(scope, bound, notes);
  if (!filters) return [];
  const chain = { transportSocket: made.socket, transportSocketConnectTimeout, filters };
  return [{ ...anyone, serverNames: serverNames(bound), owner: bound, chain }];
};

const http = (
  { scope, notes }: Draft,
  { server, table, protocol }: BoundServer,
  { listener, secure }: { readonly listener: string; readonly secure: boolean },
): FilterJson => {
  const { model, proxy } = scope;
  const authorization = authorizationOf(model.authorizationPolicies(), proxy, model.mesh.rootNamespace);
  return httpConnectionManager({
    mesh: model.mesh,
    statPrefix: secure && server.name ? server.name : `outbound_${listener};`,
    routes: { rds: table },
    direction: "gateway",
    native: proxy.native,
    grpcWeb: protocol === "grpc-web",
    limits: limitFilters(localRateLimits(scope, "inbound")),
    rbac: httpRbac(authorization, { tcp: false, isPort: undefined, notes }),
  });
};

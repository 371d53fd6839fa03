/** What is an edge proxy's own: listeners of the Gateways that select it, routes of the VirtualServices bound to them. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { GatewayServer, ServerTlsSettings } from "@weft/config/kinds/gateway";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson, FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import { compareSpecificity, intersectHosts } from "../model/hostname.ts";
import { isHttp, isTls, parseProtocol } from "../model/protocol.ts";
import { authorizationOf } from "../model/workload-policies.ts";
import { httpConnectionManager, tcpFilters, tlsInspector } from "./connection-managers.ts";
import { socketAddress } from "./outbound-listeners.ts";
import { httpRbac } from "./rbac.ts";
import { emptyDraft, type Generated, note } from "./resource-set.ts";
import { weighted } from "./route-action.ts";
import { destinationCluster, rulesRoutes } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";
import { meshServerSocket } from "./tls-contexts.ts";

type Gateway = ConfigOf<"Gateway">;

interface BoundServer {
  readonly gateway: Gateway;
  readonly server: GatewayServer;
}

/** Servers with the same address and port share a listener. */
export const gatewayPart = (scope: Scope): Generated => {
  const draft = emptyDraft();
  const notes: Finding[] = [];
  const servers = scope.model
    .rules()
    .gatewaysFor(scope.proxy.labels)
    .flatMap((gateway) => (gateway.spec.servers ?? []).map((server): BoundServer => ({ gateway, server })));
  for (const [place, bound] of Map.groupBy(servers, ({ server }) => `${server.bind ?? ""} ${server.port.number}`)) {
    const number = Number(place.split(" ")[1]);
    const listener = listenerFor(scope, bound, notes);
    if (listener) draft.listener.set(listener.name ?? "", listener);
    const plain = bound.filter(({ server }) => isHttp(parseProtocol(server.port.protocol)));
    if (plain.length > 0) addTable(draft.route, gatewayTable(scope, `http.${number}`, plain, notes));
    for (const one of bound) {
      if (!endsTls(one.server)) continue;
      addTable(draft.route, gatewayTable(scope, secureTableName(one), [one], notes));
    }
  }
  return { resources: draft, notes };
};

const addTable = (tables: Map<string, RouteConfigurationJson>, table: RouteConfigurationJson): void =>
  void tables.set(table.name ?? "", table);

const endsTls = ({ port, tls }: GatewayServer): boolean =>
  parseProtocol(port.protocol) === "https" &&
  tls?.mode !== undefined &&
  tls.mode !== "PASSTHROUGH" &&
  tls.mode !== "AUTO_PASSTHROUGH";

const secureTableName = ({ gateway, server }: BoundServer): string =>
  `https.${server.port.number}.${server.port.name}.${gateway.name}.${gateway.namespace}`;

/** Where the port really is: the node may map it, since a gateway on a laptop cannot have port 80. */
const place = (scope: Scope, { bind, port }: GatewayServer) => {
  const mapped = scope.proxy.inbound.find(({ appPort }) => appPort === port.number);
  if (mapped) return { address: bind ?? mapped.address, port: mapped.port };
  return { address: bind ?? (scope.proxy.mode === "NONE" ? "127.0.0.1" : "0.0.0.0"), port: port.number };
};

const listenerFor = (scope: Scope, bound: readonly BoundServer[], notes: Finding[]): ListenerJson | undefined => {
  const [first] = bound;
  if (!first) return undefined;
  const { address, port } = place(scope, first.server);
  const plain = bound.some(({ server }) => isHttp(parseProtocol(server.port.protocol)));
  const secure = bound.filter(({ server }) => isTls(parseProtocol(server.port.protocol)));
  const chains: FilterChainJson[] = [
    ...secure.flatMap((one) => secureChains(scope, one, notes)),
    ...(plain ? [{ filters: [http(scope, { rds: `http.${first.server.port.number}`, secure: false }, notes)] }] : []),
    ...(plain ? [] : bound.flatMap((one) => tcpChains(scope, one))),
  ];
  if (chains.length === 0) return undefined;
  return {
    name: `${address}_${port}`,
    address: socketAddress(address, port),
    trafficDirection: "OUTBOUND",
    ...(secure.length > 0 ? { listenerFilters: [tlsInspector] } : {}),
    filterChains: withoutTwins(chains),
  };
};

/** Envoy refuses two chains with the same match: the first holds. */
const withoutTwins = (chains: readonly FilterChainJson[]): FilterChainJson[] => {
  const seen = new Set<string>();
  return chains.filter(({ filterChainMatch }) => {
    const key = JSON.stringify(filterChainMatch ?? {});
    const fresh = !seen.has(key);
    seen.add(key);
    return fresh;
  });
};

const http = (
  scope: Scope,
  options: { readonly rds: string; readonly secure: boolean },
  notes: Finding[],
): FilterJson => {
  const { model, proxy } = scope;
  const authorization = authorizationOf(model.authorizationPolicies(), proxy, model.mesh.rootNamespace);
  return httpConnectionManager({
    mesh: model.mesh,
    statPrefix: `outbound_${options.rds};`,
    routes: { rds: options.rds },
    direction: "gateway",
    native: proxy.native,
    rbac: httpRbac(authorization, { tcp: false, isPort: undefined, notes }),
  });
};

const hostOf = (host: string): string => host.slice(host.indexOf("/") + 1);

/** `*` and the like match every name, so they are no condition. */
const serverNames = (hosts: readonly string[]): string[] => hosts.map(hostOf).filter((host) => host !== "*");

const secureChains = (scope: Scope, bound: BoundServer, notes: Finding[]): FilterChainJson[] => {
  const { server, gateway } = bound;
  if (!endsTls(server)) return passthroughChains(scope, bound);
  const socket = serverSocket(scope, server.tls ?? {}, gateway, notes);
  if (!socket) return [];
  const names = serverNames(server.hosts);
  return [
    {
      filterChainMatch: { transportProtocol: "tls", ...(names.length > 0 ? { serverNames: names } : {}) },
      transportSocket: socket,
      filters: [http(scope, { rds: secureTableName(bound), secure: true }, notes)],
    },
  ];
};

const serverSocket = (
  scope: Scope,
  tls: ServerTlsSettings,
  gateway: Gateway,
  notes: Finding[],
): TransportSocketJson | undefined => {
  if (tls.mode === "ISTIO_MUTUAL") {
    const { sdsCluster } = scope.proxy;
    return sdsCluster
      ? meshServerSocket({ sdsCluster, trustDomain: scope.model.mesh.trustDomain, http: true })
      : undefined;
  }
  if (!tls.serverCertificate || !tls.privateKey) {
    notes.push(note("WF7011", "credentialName has no secret to read here: the server is left out", gateway, "error"));
    return undefined;
  }
  const client = tls.mode === "MUTUAL" || tls.mode === "OPTIONAL_MUTUAL";
  return {
    name: "envoy.transport_sockets.tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
      commonTlsContext: {
        alpnProtocols: ["h2", "http/1.1"],
        tlsParams: {
          tlsMinimumProtocolVersion: tlsVersion(tls.minProtocolVersion) ?? "TLSv1_2",
          ...(tlsVersion(tls.maxProtocolVersion)
            ? { tlsMaximumProtocolVersion: tlsVersion(tls.maxProtocolVersion) }
            : {}),
          ...(tls.cipherSuites?.length ? { cipherSuites: tls.cipherSuites } : {}),
        },
        tlsCertificates: [
          { certificateChain: { filename: tls.serverCertificate }, privateKey: { filename: tls.privateKey } },
        ],
        ...(client && tls.caCertificates ? { validationContext: clientValidation(tls) } : {}),
      },
      requireClientCertificate: tls.mode === "MUTUAL",
    }),
  };
};

const tlsVersion = (version: string | undefined): string | undefined =>
  version && version !== "TLS_AUTO" ? version.replace("TLSV", "TLSv") : undefined;

const clientValidation = (tls: ServerTlsSettings): object => ({
  trustedCa: { filename: tls.caCertificates },
  ...(tls.subjectAltNames?.length
    ? {
        matchTypedSubjectAltNames: tls.subjectAltNames.map((exact) => ({
          sanType: exact.includes("://") ? "URI" : "DNS",
          matcher: { exact },
        })),
      }
    : {}),
});

const gatewayId = ({ namespace, name }: Gateway): string => `${namespace}/${name}`;

/** TLS that passes on: by server name, as the VirtualServices' `tls` rules say. */
const passthroughChains = (scope: Scope, { gateway, server }: BoundServer): FilterChainJson[] => {
  const chains: FilterChainJson[] = [];
  for (const { object } of scope.model.rules().gatewayRules(gatewayId(gateway))) {
    for (const rule of object.spec.tls ?? []) {
      for (const match of rule.match) {
        if (match.port !== undefined && match.port !== server.port.number) continue;
        const names = match.sniHosts.filter((name) => server.hosts.some((host) => intersectHosts(hostOf(host), name)));
        if (names.length === 0 || !rule.route?.length) continue;
        chains.push({
          filterChainMatch: { transportProtocol: "tls", serverNames: names },
          filters: carried(scope, rule.route, { port: server.port.number, namespace: object.namespace }),
        });
      }
    }
  }
  return chains;
};

const tcpChains = (scope: Scope, { gateway, server }: BoundServer): FilterChainJson[] => {
  if (isTls(parseProtocol(server.port.protocol))) return [];
  for (const { object } of scope.model.rules().gatewayRules(gatewayId(gateway))) {
    for (const { match, route } of object.spec.tcp ?? []) {
      const holds = !match?.length || match.some(({ port }) => port === undefined || port === server.port.number);
      if (!holds || !route?.length) continue;
      return [{ filters: carried(scope, route, { port: server.port.number, namespace: object.namespace }) }];
    }
  }
  return [];
};

type TcpDestinations = Parameters<
  typeof weighted<{ destination: Parameters<typeof destinationCluster>[1]; weight?: number }>
>[0];

const carried = (
  scope: Scope,
  destinations: TcpDestinations,
  { port, namespace }: { readonly port: number; readonly namespace: string },
): FilterJson[] => {
  const clusters = weighted(destinations).map(({ destination, weight }) => ({
    name: destinationCluster({ scope, port }, destination, namespace),
    weight: weight || 1,
  }));
  return tcpFilters({
    mesh: scope.model.mesh,
    statPrefix: `${clusters[0]?.name ?? ""};`,
    clusters,
    direction: "gateway",
    native: scope.proxy.native,
  });
};

/** Hosts a server and a rule have in common, where the server takes hosts of the rule's namespace. */
const sharedHosts = (
  { gateway, server }: BoundServer,
  rule: { readonly hosts: readonly string[]; readonly object: { readonly namespace: string } },
): readonly string[] =>
  server.hosts.flatMap((entry) => {
    const [scope, host] = entry.includes("/") ? entry.split("/", 2) : ["*", entry];
    const open =
      scope === "*" ||
      scope === rule.object.namespace ||
      (scope === "." && gateway.namespace === rule.object.namespace);
    return open ? rule.hosts.flatMap((wanted) => intersectHosts(host ?? "", wanted) ?? []) : [];
  });

/** One virtual host per host; rules of several VirtualServices for the same host follow each other, the oldest first. */
const gatewayTable = (
  scope: Scope,
  name: string,
  servers: readonly BoundServer[],
  notes: Finding[],
): RouteConfigurationJson => {
  const hosts = new Map<string, { routes: RouteJson[]; redirect: boolean }>();
  for (const bound of servers) {
    const { gateway, server } = bound;
    const secure = endsTls(server);
    const redirect = server.tls?.httpsRedirect === true && !secure;
    for (const rule of scope.model.rules().gatewayRules(gatewayId(gateway))) {
      const shared = sharedHosts(bound, rule);
      if (shared.length === 0 || !rule.object.spec.http?.length) continue;
      const context = { scope, notes, gateway: gatewayId(gateway), port: server.port.number, secure };
      const routes = rulesRoutes(context, rule);
      for (const host of new Set(shared)) {
        const known = hosts.get(host) ?? { routes: [], redirect: false };
        hosts.set(host, { routes: [...known.routes, ...routes], redirect: known.redirect || redirect });
      }
    }
    if (redirect)
      for (const host of server.hosts.map(hostOf)) if (!hosts.has(host)) hosts.set(host, { routes: [], redirect });
  }
  const port = servers[0]?.server.port.number ?? 80;
  const virtualHosts = [...hosts]
    .sort(([a], [b]) => compareSpecificity(a, b) || (a < b ? -1 : 1))
    .map(
      ([host, { routes, redirect }]): VirtualHostJson => ({
        name: `${host}:${port}`,
        domains: [host],
        ...(routes.length > 0 ? { routes } : {}),
        includeRequestAttemptCount: true,
        ...(redirect ? { requireTls: "ALL" } : {}),
      }),
    );
  return {
    name,
    virtualHosts: virtualHosts.length > 0 ? virtualHosts : [{ name: `blackhole:${port}`, domains: ["*"] }],
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: 1_048_576,
  };
};

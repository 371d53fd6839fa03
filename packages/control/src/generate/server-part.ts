/** What is one workload's own: its inbound listeners and clusters, and in explicit mode its outbound listener. */

import type { Finding } from "@weft/config/finding";
import { toProtoDuration } from "@weft/core/duration";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import { resolveHost } from "../model/hostname.ts";
import { isHttp, type Protocol, parseProtocol, protocolOfPort } from "../model/protocol.ts";
import type { Service } from "../model/service.ts";
import { authorizationOf, peerAuthenticationModes, type TlsMode } from "../model/workload-policies.ts";
import { httpConnectionManager, httpInspector, originalDst, tcpFilters, tlsInspector } from "./connection-managers.ts";
import { type InboundProtocol, inboundChains, needs } from "./inbound-chains.ts";
import { applicationCluster, inboundPassthrough } from "./inbound-clusters.ts";
import { limitFilters, limitRules, localRateLimits } from "./local-rate-limits.ts";
import { blackHoleCluster, inboundCluster, inboundPassthroughCluster } from "./names.ts";
import { anyAddress, explicitListener, socketAddress } from "./outbound-listeners.ts";
import { httpRbac, networkRbac } from "./rbac.ts";
import { emptyDraft, type Generated, note } from "./resource-set.ts";
import type { Scope } from "./scope.ts";
import { type IngressPort, inboundPool, sidecarIngress } from "./sidecar-ingress.ts";
import { meshServerSocket } from "./tls-contexts.ts";

/** One port of the workload, however it was learnt. */
interface InboundTarget {
  /** Where connections come in; with interception the application's own port. */
  readonly address: string;
  readonly port: number;
  readonly appAddress: string;
  /** The mesh's policy has it reached at the address that was dialled. */
  readonly asDialled?: boolean;
  readonly appPort: number;
  readonly protocol: Protocol;
  readonly service: Service | undefined;
  readonly servicePort: number;
  /** What a Sidecar says of the port. */
  readonly ingress?: IngressPort;
}

export const serverPart = (scope: Scope): Generated => {
  const { proxy } = scope;
  const draft = emptyDraft();
  const notes: Finding[] = [];
  const targets = withSidecar(scope, inboundTargets(scope), notes);
  for (const target of targets) {
    const address = target.ingress?.endpoint ?? socketAddress(target.appAddress, target.appPort);
    const connectionPool = inboundPool(scope, target.appPort);
    const asDialled = target.asDialled && !target.ingress;
    const cluster = applicationCluster(scope, { ...target, address, connectionPool, asDialled });
    draft.cluster.set(cluster.name ?? "", cluster);
    for (const secret of target.ingress?.secrets ?? []) draft.secret.set(secret.name ?? "", secret);
  }
  const explicit = proxy.mode === "NONE";
  const bound = targets.filter(({ ingress }) => explicit || ingress?.binds);
  const listeners = [
    explicit
      ? explicitListener(scope)
      : virtualInbound(
          scope,
          targets.filter((one) => !bound.includes(one)),
          notes,
        ),
    ...bound.map((target) => portListener(scope, target, notes)),
  ];
  if (proxy.mode !== "NONE") draft.cluster.set(inboundPassthroughCluster, inboundPassthrough(scope));
  for (const listener of listeners) draft.listener.set(listener.name ?? "", listener);
  return { resources: draft, notes };
};

/** A Sidecar with `ingress` says all ports there are; what services say of the same port is kept for its limits. */
const withSidecar = (scope: Scope, known: readonly InboundTarget[], notes: Finding[]): readonly InboundTarget[] => {
  const listed = sidecarIngress(scope, {
    notes,
    listensAt: (port) => known.find(({ appPort, port: taken }) => appPort === port || taken === port)?.address,
    tlsMode: (port) => tlsMode(scope, port),
  });
  return (
    listed?.map((ingress): InboundTarget => {
      const { address, port, protocol } = ingress;
      const same = known.find(({ appPort }) => appPort === port);
      const place = { address, port, appAddress: address, appPort: port, protocol, ingress };
      return { ...place, service: same?.service, servicePort: same?.servicePort ?? port };
    }) ?? known
  );
};

/** Ports the node declares, then those of endpoints at the workload's addresses; each application port once. */
const inboundTargets = (scope: Scope): readonly InboundTarget[] => {
  const { model, proxy } = scope;
  const found = new Map<number, InboundTarget>();
  const services = model.visibleServices(proxy.namespace);
  const records = proxy.addresses.flatMap((address) => model.endpointsAt(address));
  for (const entry of proxy.inbound) {
    const hostname = entry.service ? resolveHost(entry.service, proxy.namespace, model.mesh.domain) : undefined;
    const record = records.find(({ port }) => port === entry.port);
    const service = hostname ? services.get(hostname) : record ? model.services.get(record.service) : undefined;
    const servicePort =
      record?.servicePort ??
      (service?.ports.find(({ name }) => name === entry.name) ?? service?.ports[0])?.number ??
      entry.appPort;
    const declared = entry.protocol ? parseProtocol(entry.protocol) : protocolOfPort({ name: entry.name });
    const known = service?.ports.find(({ number }) => number === servicePort)?.protocol;
    found.set(entry.appPort, {
      ...entry,
      protocol: declared === "auto" ? (known ?? "auto") : declared,
      service,
      servicePort,
    });
  }
  if (proxy.mode === "NONE") return [...found.values()];
  for (const record of records) {
    if (found.has(record.port)) continue;
    const service = model.services.get(record.service);
    const port = service?.ports.find(({ number }) => number === record.servicePort);
    if (!port || port.protocol === "udp") continue;
    found.set(record.port, {
      address: record.address,
      port: record.port,
      // Where the machine has IPv6 alone, its programs may listen there alone.
      appAddress: proxy.addresses.some((address) => !address.includes(":")) ? "127.0.0.1" : "::1",
      appPort: record.port,
      ...(model.mesh.inboundTrafficPolicy === "PASSTHROUGH" ? { asDialled: true } : {}),
      protocol: port.protocol,
      service,
      servicePort: record.servicePort,
    });
  }
  return [...found.values()].sort((a, b) => a.appPort - b.appPort);
};

const chainProtocol = (protocol: Protocol): InboundProtocol =>
  isHttp(protocol) ? "http" : protocol === "auto" ? "auto" : "tcp";

/** The table in place: everything goes to the application. A request that never reached it is safe to send again. */
const inboundRoutes = (
  scope: Scope,
  target: Pick<InboundTarget, "protocol" | "service" | "servicePort">,
  cluster: string,
): RouteConfigurationJson => {
  const host = target.service?.hostname ?? "*";
  const rateLimits = limitRules(scope, localRateLimits(scope, "inbound"), target.servicePort);
  const retried = target.protocol !== "grpc";
  return {
    name: cluster,
    virtualHosts: [
      {
        name: `inbound|http|${target.servicePort}`,
        domains: ["*"],
        routes: [
          {
            name: "default",
            match: { prefix: "/" },
            route: {
              cluster,
              timeout: "0s",
              maxStreamDuration: { maxStreamDuration: "0s", grpcTimeoutHeaderMax: "0s" },
              ...(retried ? { retryPolicy: { retryOn: "reset-before-request", numRetries: 2 } } : {}),
            },
            decorator: { operation: `${host}:${target.servicePort}/*` },
          },
        ],
        ...(rateLimits.length > 0 ? { rateLimits: [...rateLimits] } : {}),
      },
    ],
    validateClusters: false,
  };
};

const tlsMode = (scope: Scope, appPort: number | undefined): TlsMode => {
  const { model, proxy } = scope;
  const modes = peerAuthenticationModes(model.peerAuthentications(), proxy, model.mesh.rootNamespace);
  return (appPort === undefined ? undefined : modes.ports.get(appPort)) ?? modes.mode;
};

/** Which PeerAuthentication says what of which port (`*`: of all others), for whoever asks why. */
const modesWrittenAt = (
  { model, proxy }: Scope,
  appPorts: readonly number[] | undefined,
): Pick<ListenerJson, "metadata"> => {
  const { from, ports, portsFrom } = peerAuthenticationModes(
    model.peerAuthentications(),
    proxy,
    model.mesh.rootNamespace,
  );
  const [only, more] = appPorts ?? [];
  const own = portsFrom ? [...ports.keys()].filter((port) => appPorts === undefined || appPorts.includes(port)) : [];
  const peerAuthentication = {
    ...(from ? { "*": `${from.namespace}/${from.name}/spec.mtls` } : {}),
    ...Object.fromEntries(
      own.map((port) => [
        only === port && more === undefined ? "*" : String(port),
        `${portsFrom?.namespace}/${portsFrom?.name}/spec.portLevelMtls.${port}`,
      ]),
    ),
  };
  if (Object.keys(peerAuthentication).length === 0) return {};
  return { metadata: { filterMetadata: { weft: { peerAuthentication } } } };
};

interface ChainPlan {
  readonly name: string;
  readonly statPrefix: string;
  readonly cluster: string;
  readonly mode: TlsMode;
  readonly routes: RouteConfigurationJson;
  readonly protocol: Protocol;
  readonly match: NonNullable<FilterChainJson["filterChainMatch"]>;
  readonly isPort: ((port: number) => boolean) | undefined;
  /** TLS instead of the mesh's. */
  readonly tls?: TransportSocketJson | undefined;
}

const chains = (scope: Scope, plan: ChainPlan, notes: Finding[]): FilterChainJson[] => {
  const { model, proxy } = scope;
  const { sdsCluster, native } = proxy;
  const authorization = authorizationOf(model.authorizationPolicies(), proxy, model.mesh.rootNamespace);
  const context = { tcp: false, isPort: plan.isPort, notes };
  const { mesh } = model;
  const own = plan.tls;
  return inboundChains(own ? "STRICT" : plan.mode, chainProtocol(plan.protocol), {
    name: plan.name,
    match: plan.match,
    tls: own
      ? () => own
      : sdsCluster
        ? (http) => meshServerSocket({ sdsCluster, trustDomain: mesh.trustDomain, http })
        : undefined,
    http: () => [
      httpConnectionManager({
        mesh,
        statPrefix: `${plan.statPrefix};`,
        routes: plan.routes,
        direction: "inbound",
        native,
        grpcWeb: plan.protocol === "grpc-web",
        rbac: httpRbac(authorization, context),
        limits: limitFilters(localRateLimits(scope, "inbound")),
      }),
    ],
    tcp: () =>
      tcpFilters({
        mesh,
        statPrefix: `${plan.cluster};`,
        clusters: [{ name: plan.cluster, weight: 1 }],
        direction: "inbound",
        native,
        rbac: networkRbac(authorization, context),
      }),
  });
};

const inspectors = (
  mesh: { readonly protocolDetectionTimeoutMs: number },
  need: { readonly tls: boolean; readonly http: boolean },
) =>
  need.tls || need.http
    ? {
        listenerFilters: [...(need.tls || need.http ? [tlsInspector] : []), ...(need.http ? [httpInspector] : [])],
        listenerFiltersTimeout: toProtoDuration(mesh.protocolDetectionTimeoutMs),
        continueOnListenerFiltersTimeout: true,
      }
    : {};

const noteKeyless = (scope: Scope, mode: TlsMode, notes: Finding[]): void => {
  if (mode !== "STRICT" || scope.proxy.sdsCluster) return;
  const text =
    `proxy ${scope.proxy.id} has no source of keys (node metadata WEFT_SDS), so its ports take plaintext although ` +
    "PeerAuthentication says STRICT";
  notes.push(note("WF7010", text, undefined, "error"));
};

const portListener = (scope: Scope, target: InboundTarget, notes: Finding[]): ListenerJson => {
  const name = `${target.address}_${target.port}`;
  const cluster = inboundCluster(target.appPort);
  const mode = tlsMode(scope, target.appPort);
  noteKeyless(scope, mode, notes);
  const plan: ChainPlan = {
    name,
    statPrefix: `inbound_${name}`,
    cluster,
    mode,
    routes: inboundRoutes(scope, target, cluster),
    protocol: target.protocol,
    match: {},
    isPort: (port) => port === target.appPort || port === target.port,
    tls: target.ingress?.tls,
  };
  return {
    name,
    address: socketAddress(target.address, target.port),
    trafficDirection: "INBOUND",
    ...modesWrittenAt(scope, [target.appPort]),
    ...inspectors(scope.model.mesh, inspectorsFor(scope, target, mode)),
    filterChains: chains(scope, plan, notes),
  };
};

const inspectorsFor = ({ proxy }: Scope, { protocol, ingress }: InboundTarget, mode: TlsMode) =>
  needs(
    ingress?.tls ? "STRICT" : mode,
    chainProtocol(protocol),
    ingress?.tls !== undefined || proxy.sdsCluster !== undefined,
  );

const inboundPort = 15006;

/** Intercepted mode: one listener for every port, told apart by the original destination's port. */
const virtualInbound = (scope: Scope, targets: readonly InboundTarget[], notes: Finding[]): ListenerJson => {
  const { mesh } = scope.model;
  const { native } = scope.proxy;
  const passthroughMode = tlsMode(scope, undefined);
  noteKeyless(scope, passthroughMode, notes);
  const passthrough: ChainPlan = {
    name: "virtualInbound",
    statPrefix: inboundPassthroughCluster,
    cluster: inboundPassthroughCluster,
    mode: passthroughMode,
    routes: inboundRoutes(scope, { protocol: "auto", service: undefined, servicePort: 0 }, inboundPassthroughCluster),
    protocol: "auto",
    match: {},
    isPort: undefined,
  };
  const perPort = targets.map(
    (target): ChainPlan => ({
      name: `0.0.0.0_${target.appPort}`,
      statPrefix: `inbound_0.0.0.0_${target.appPort}`,
      cluster: inboundCluster(target.appPort),
      mode: tlsMode(scope, target.appPort),
      routes: inboundRoutes(scope, target, inboundCluster(target.appPort)),
      protocol: target.protocol,
      match: { destinationPort: target.appPort },
      isPort: (port) => port === target.appPort,
      tls: target.ingress?.tls,
    }),
  );
  const blackhole = tcpFilters({
    mesh,
    statPrefix: `${blackHoleCluster};`,
    clusters: [{ name: blackHoleCluster, weight: 1 }],
    direction: "inbound",
    native,
  });
  const catchAll = chains(scope, passthrough, notes).map((chain) =>
    chain.filters?.some(({ name }) => name === "envoy.filters.network.http_connection_manager")
      ? { ...chain, name: "virtualInbound-catchall-http" }
      : chain,
  );
  return {
    name: "virtualInbound",
    ...anyAddress(scope, inboundPort),
    trafficDirection: "INBOUND",
    ...modesWrittenAt(scope, undefined),
    listenerFilters: [
      originalDst,
      ...(scope.proxy.mode === "TPROXY" && !native ? [originalSrc] : []),
      tlsInspector,
      httpInspector,
    ],
    listenerFiltersTimeout: toProtoDuration(mesh.protocolDetectionTimeoutMs),
    continueOnListenerFiltersTimeout: true,
    ...(scope.proxy.mode === "TPROXY" ? { transparent: true } : {}),
    filterChains: [
      { name: "virtualInbound-blackhole", filterChainMatch: { destinationPort: inboundPort }, filters: blackhole },
      ...catchAll,
      ...perPort.flatMap((plan) => chains(scope, plan, notes)),
    ],
  };
};

/** Gives the application the client's address; our sidecar does not do that. */
const originalSrc = {
  name: "envoy.filters.listener.original_src",
  typedConfig: {
    "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc",
    mark: 1337,
  },
};

/** Where a connection enters a proxy: its listener, the filter chain, and what serves it there. */
import type { DownstreamInfo, DownstreamTlsInfo } from "@weft/proxy/http/exchange";
import type { HcmSettings } from "@weft/proxy/http/hcm-settings";
import type { FilterChain } from "@weft/proxy/listeners/compile-listener";
import type { ConnectionFacts } from "@weft/proxy/listeners/filter-chain-match";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { HttpConnectionManagerJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { OfflineListener, OfflineProxy } from "./offline-proxy.ts";

export interface Entrance {
  readonly listener: OfflineListener;
  readonly chain: FilterChain;
  readonly json: FilterChainJson;
  readonly downstream: DownstreamInfo;
  /** Present where the chain speaks HTTP. */
  readonly http?:
    | {
        readonly settings: HcmSettings;
        readonly json: HttpConnectionManagerJson;
        readonly tableName: string;
        readonly table: RouteConfigurationJson | undefined;
      }
    | undefined;
}

export interface Arrival {
  readonly facts: ConnectionFacts;
  readonly tls: DownstreamTlsInfo | undefined;
  /** The connection was redirected: its destination is not the listener's own address. */
  readonly redirected: boolean;
}

/** The chain that takes the connection, by the listener's own index; `undefined` where none does. */
export const enter = (proxy: OfflineProxy, listener: OfflineListener, arrival: Arrival): Entrance | undefined => {
  const { config, json } = listener;
  const chain = config.findChain(arrival.facts);
  if (!chain) return undefined;
  const at = config.chains.indexOf(chain);
  const chainJson = (at < 0 ? json.defaultFilterChain : json.filterChains?.[at]) ?? {};
  return {
    listener,
    chain,
    json: chainJson,
    downstream: downstreamOf(listener, chain, arrival),
    http: httpOf(proxy, chain, chainJson),
  };
};

const httpOf = (proxy: OfflineProxy, { terminal }: FilterChain, chain: FilterChainJson): Entrance["http"] => {
  if (terminal.kind !== "http") return undefined;
  const json = (chain.filters?.at(-1)?.typedConfig ?? {}) as HttpConnectionManagerJson;
  const tableName = json.rds?.routeConfigName ?? json.routeConfig?.name ?? "";
  const table = json.routeConfig ?? proxy.resources.routes.get(tableName);
  return { settings: terminal.slot.current, json, tableName, table };
};

const downstreamOf = (
  { config }: OfflineListener,
  chain: FilterChain,
  { facts, tls, redirected }: Arrival,
): DownstreamInfo => ({
  listenerName: config.name,
  filterChainName: chain.name,
  direction: config.direction,
  remoteHost: facts.sourceHost,
  remotePort: facts.sourcePort,
  localHost: facts.destinationHost,
  localPort: facts.destinationPort,
  originalDestination: redirected ? { host: facts.destinationHost, port: facts.destinationPort } : undefined,
  // A chain without TLS of its own passes the client's on unread.
  tls: chain.tls === undefined ? undefined : tls,
  requestedServerName: facts.serverName,
});

/** The address calls through a proxy go to that their clients know of. */
const isExplicit = ({ json, config }: OfflineListener): boolean =>
  config.direction === "outbound" &&
  config.binds &&
  !config.useOriginalDst &&
  json.address?.socketAddress !== undefined;

/** The route table of explicit mode, by the name that the control plane gives it. */
const isHttpProxy = ({ json }: OfflineListener): boolean =>
  (json.filterChains ?? []).some(({ filters }) => {
    const config = (filters?.at(-1)?.typedConfig ?? {}) as HttpConnectionManagerJson;
    return config.rds?.routeConfigName === "http_proxy";
  });

/** How a call leaves the proxy's workload. */
export type Way =
  | { readonly kind: "explicit"; readonly listener: OfflineListener }
  | { readonly kind: "intercepted"; readonly listener: OfflineListener; readonly handedOver: boolean }
  | { readonly kind: "none" };

/** The listener a call to that address comes to: intercepted where the proxy intercepts, else the explicit one. */
export const wayOut = (proxy: OfflineProxy, host: string, port: number): Way => {
  const catchAll = proxy.listeners.find(({ config }) => config.direction === "outbound" && config.useOriginalDst);
  if (catchAll) {
    const own = proxy.destination(host, port, catchAll);
    return { kind: "intercepted", listener: own ?? catchAll, handedOver: own !== undefined };
  }
  const explicit = proxy.listeners.filter(isExplicit);
  const ofPort = (each: OfflineListener): boolean => each.config.addresses.some((address) => address.port === port);
  // A gateway has a listener for each of its ports.
  const listener = explicit.find(isHttpProxy) ?? explicit.find(ofPort) ?? explicit[0];
  return listener ? { kind: "explicit", listener } : { kind: "none" };
};

/** The listener of a server that a connection to its address comes to. */
export const wayIn = (proxy: OfflineProxy, host: string, port: number): OfflineListener | undefined => {
  const inbound = proxy.listeners.filter(({ config }) => config.direction === "inbound");
  const catchAll = inbound.find(({ config }) => config.useOriginalDst || config.readsOriginalDst);
  if (catchAll) return catchAll;
  const found = proxy.destination(host, port, undefined);
  return found && inbound.includes(found) ? found : undefined;
};

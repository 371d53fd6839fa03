import type { SocketAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import { queuedBytesMax, queuedBytesMost } from "@weft/net/tcp/limits";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { durationMs, member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { LeavingTable } from "../http/leaving.ts";
import { compileAccessLog } from "../observe/access-log.ts";
import type { TcpExchange } from "../observe/tcp-exchange.ts";
import type { ProxyProtocolFilter } from "../proxy-protocol/listener-filter.ts";
import { ChainIndex, chainPlacesMax } from "./chain-index.ts";
import { compileListenerFilters, type OriginalSource } from "./compile-listener-filters.ts";
import { compileNetworkFilters, type NetworkFilters, type TerminalTools } from "./compile-terminal.ts";
import { compileDownstreamTls, type DownstreamTls } from "./downstream-tls.ts";
import { type CompiledMatch, type ConnectionFacts, compileMatch } from "./filter-chain-match.ts";
import { type ListenerCounters, listenerCounters, listenerStatName } from "./listener-counters.ts";

export interface FilterChain extends NetworkFilters {
  readonly name: string;
  readonly match: CompiledMatch;
  readonly tls: DownstreamTls | undefined;
  /** The TLS handshake may take this long; 0 is no limit. */
  readonly handshakeTimeoutMs: number;
  /** Equal for two forms of a chain whose open connections could have been made under either: TLS and network filters. */
  readonly footing: string;
}

/** An address to listen at; an IPv6 one takes IPv4 connections only where asked to. */
export interface ListenAddress extends SocketAddress {
  readonly ipv6Only: boolean;
}

/** What compiling listeners needs of the data plane. */
export interface ListenerTools extends Omit<TerminalTools, "leaving" | "listenerName"> {
  readonly leavings: LeavingTable;
}

/** A compiled Listener; immutable. */
export interface CompiledListener {
  readonly name: string;
  readonly addresses: readonly ListenAddress[];
  /** False: it only gets connections handed over by a listener with `useOriginalDst`. */
  readonly binds: boolean;
  readonly useOriginalDst: boolean;
  /** It takes connections to any address that the kernel brings here, and that address is where they were going. */
  readonly transparent: boolean;
  readonly direction: DownstreamInfo["direction"];
  readonly readsOriginalDst: boolean;
  /** What a connection may or must begin with, ahead of everything else. */
  readonly proxyProtocol: ProxyProtocolFilter | undefined;
  readonly originalSource: OriginalSource | undefined;
  readonly inspectsTls: boolean;
  readonly inspectsHttp: boolean;
  /** Destination ports whose connections are not inspected: their servers speak first. */
  readonly exempt: (port: number) => boolean;
  /** What may wait for a client before the source of its bytes pauses. */
  readonly bufferBytesMax: number;
  readonly inspectTimeoutMs: number;
  readonly goesOnAfterTimeout: boolean;
  /** Bytes of no known protocol may be passed on as they are, so that a server may be the one who speaks first. */
  readonly passesRaw: boolean;
  readonly chains: readonly FilterChain[];
  readonly defaultChain: FilterChain | undefined;
  /** The chain for a connection: by its match, else the default one. */
  readonly findChain: (facts: ConnectionFacts) => FilterChain | undefined;
  readonly counters: ListenerCounters;
  /** Serves whatever the pressure: for probes. */
  readonly bypassesOverload: boolean;
  /** Connections that no chain took. */
  readonly log: ((tcp: TcpExchange) => void) | undefined;
}

const used = [
  "name",
  "address",
  "additionalAddresses",
  "statPrefix",
  "filterChains",
  "useOriginalDst",
  "defaultFilterChain",
  "perConnectionBufferLimitBytes",
  "listenerFilters",
  "listenerFiltersTimeout",
  "continueOnListenerFiltersTimeout",
  "trafficDirection",
  "drainType",
  "bindToPort",
  "accessLog",
  "metadata",
  "transparent",
  "bypassOverloadManager",
  "ignoreGlobalConnLimit",
] as const;

const defaultInspectTimeoutMs = 15_000;

/** Compiles a Listener; throws ConfigError for anything in it that would not be honoured. */
export const compileListener = (json: ListenerJson, terminals: ListenerTools): CompiledListener => {
  refuseOthers(json, "Listener", "", used);
  const statName = listenerStatName(json.statPrefix, socketOf(json.address));
  const direction = directions[json.trafficDirection ?? "UNSPECIFIED"];
  const leaving = terminals.leavings.of(direction, json.drainType === "MODIFY_ONLY");
  const tools: TerminalTools = { ...terminals, listenerName: json.name ?? "", listener: statName, leaving };
  const chains = (json.filterChains ?? []).map((chain, index) => compileChain(chain, `filterChains[${index}]`, tools));
  const chainIndex = indexChains(chains);
  if (chains.length === 0 && !json.defaultFilterChain) throw new ConfigError("filterChains", "is required");
  const filters = compileListenerFilters(json.listenerFilters ?? [], tools.stats);
  const defaultChain = json.defaultFilterChain && compileChain(json.defaultFilterChain, "defaultFilterChain", tools);
  const goesOnAfterTimeout = json.continueOnListenerFiltersTimeout === true;
  return {
    name: required(json.name, "name"),
    addresses: [
      compileAddress(json.address, "address"),
      ...(json.additionalAddresses ?? []).map(({ address }, index) =>
        compileAddress(address, `additionalAddresses[${index}].address`),
      ),
    ],
    binds: json.bindToPort !== false,
    useOriginalDst: json.useOriginalDst === true,
    transparent: json.transparent === true,
    direction,
    ...filters,
    readsOriginalDst: filters.readsOriginalDst || json.useOriginalDst === true,
    bufferBytesMax: Math.min(
      unsigned(json.perConnectionBufferLimitBytes, "perConnectionBufferLimitBytes") || queuedBytesMax,
      queuedBytesMost,
    ),
    inspectTimeoutMs: durationMs(json.listenerFiltersTimeout, "listenerFiltersTimeout") ?? defaultInspectTimeoutMs,
    goesOnAfterTimeout,
    passesRaw: passesRaw(goesOnAfterTimeout, chains, defaultChain) && !isClientFirst(json),
    chains,
    findChain: (facts) => chainIndex.find(facts) ?? defaultChain,
    defaultChain,
    counters: listenerCounters(terminals.stats, statName),
    bypassesOverload: json.bypassOverloadManager === true || json.ignoreGlobalConnLimit === true,
    log: compileAccessLog(json.accessLog, "accessLog", tools.logs)?.tcp,
  };
};

const passesRaw = (goesOn: boolean, chains: readonly FilterChain[], defaultChain: FilterChain | undefined): boolean => {
  const passes = ({ tls, terminal }: FilterChain): boolean => tls === undefined && terminal.kind === "tcp";
  if (chains.some((chain) => chain.match.transportProtocol === "raw_buffer" && passes(chain))) return true;
  return goesOn && [...chains, ...(defaultChain ? [defaultChain] : [])].some(passes);
};

/** Our control plane marks listeners of ports whose protocol is declared as one that clients begin. */
const isClientFirst = ({ metadata }: ListenerJson): boolean => metadata?.filterMetadata?.weft?.clientFirst === true;

const directions = { UNSPECIFIED: "unspecified", INBOUND: "inbound", OUTBOUND: "outbound" } as const;

const socketOf = (json: AddressJson | undefined): SocketAddress | undefined =>
  json?.socketAddress && { host: json.socketAddress.address ?? "", port: json.socketAddress.portValue ?? 0 };

const compileAddress = (json: AddressJson | undefined, at: string): ListenAddress => {
  const socket = json?.socketAddress;
  if (!socket) throw new ConfigError(at, "only socket addresses are supported");
  const here = member(at, "socketAddress");
  if (socket.protocol === "UDP") throw new ConfigError(member(here, "protocol"), "UDP is not supported");
  refuseOthers(socket, "SocketAddress", here, ["protocol", "address", "portValue", "ipv4Compat", "resolverName"]);
  return {
    host: required(socket.address, member(here, "address")),
    port: socket.portValue ?? 0,
    ipv6Only: socket.ipv4Compat !== true,
  };
};

const compileChain = (json: FilterChainJson, at: string, tools: TerminalTools): FilterChain => {
  refuseOthers(json, "FilterChain", at, [
    "filterChainMatch",
    "filters",
    "transportSocket",
    "transportSocketConnectTimeout",
    "name",
  ]);
  const tls = compileDownstreamTls(json.transportSocket, member(at, "transportSocket"));
  if (tls !== undefined) tools.checkKeyFiles?.(tls, member(at, "transportSocket"));
  return {
    name: json.name ?? "",
    match: compileMatch(json.filterChainMatch, member(at, "filterChainMatch")),
    tls,
    handshakeTimeoutMs:
      durationMs(json.transportSocketConnectTimeout, member(at, "transportSocketConnectTimeout")) ?? 0,
    footing: footingOf(json),
    ...compileNetworkFilters(json.filters ?? [], member(at, "filters"), tools),
  };
};

/** The last filter's own settings are left out: HTTP connections read those anew for each request. */
const footingOf = ({ transportSocket, filters = [] }: FilterChainJson): string =>
  JSON.stringify([transportSocket, filters.slice(0, -1), filters.at(-1)?.typedConfig?.["@type"]]);

/** Two chains of which neither is the more specific for some connection are refused, as in Envoy. */
const indexChains = (chains: readonly FilterChain[]): ChainIndex<FilterChain> => {
  const chainIndex = new ChainIndex<FilterChain>();
  for (const [index, chain] of chains.entries()) {
    const twin = chainIndex.add(chain);
    if (twin === undefined) continue;
    const at = `filterChains[${index}].filterChainMatch`;
    if (twin === "tooMany") throw new ConfigError(at, `with those before it has more than ${chainPlacesMax} cases`);
    const same = chain.match.identity === twin.match.identity ? "is the same as" : "overlaps";
    throw new ConfigError(at, `${same} that of filterChains[${chains.indexOf(twin)}]`);
  }
  return chainIndex;
};

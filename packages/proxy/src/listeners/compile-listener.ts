import type { SocketAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type {
  FilterChainJson,
  ListenerFilterChainMatchPredicateJson,
  ListenerFilterJson,
} from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { openAny } from "../compile/any.ts";
import { durationMs, member, refuseOthers, required } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { compileAccessLog } from "../observe/access-log.ts";
import type { TcpExchange } from "../observe/tcp-exchange.ts";
import { compileNetworkFilters, type NetworkFilters, type TerminalTools } from "./compile-terminal.ts";
import { compileDownstreamTls, type DownstreamTls } from "./downstream-tls.ts";
import { type CompiledMatch, compileMatch } from "./filter-chain-match.ts";

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

/** A compiled Listener; immutable. */
export interface CompiledListener {
  readonly name: string;
  readonly addresses: readonly ListenAddress[];
  /** False: it only gets connections handed over by a listener with `useOriginalDst`. */
  readonly binds: boolean;
  readonly useOriginalDst: boolean;
  readonly direction: DownstreamInfo["direction"];
  readonly readsOriginalDst: boolean;
  readonly inspectsTls: boolean;
  readonly inspectsHttp: boolean;
  /** Destination ports whose connections are not inspected: their servers speak first. */
  readonly exempt: (port: number) => boolean;
  readonly inspectTimeoutMs: number;
  readonly goesOnAfterTimeout: boolean;
  readonly chains: readonly FilterChain[];
  readonly defaultChain: FilterChain | undefined;
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
  "bindToPort",
  "accessLog",
] as const;

const defaultInspectTimeoutMs = 15_000;
const filterPrefix = "envoy.extensions.filters.listener.";

/** Compiles a Listener; throws ConfigError for anything in it that would not be honoured. */
export const compileListener = (json: ListenerJson, tools: TerminalTools): CompiledListener => {
  refuseOthers(json, "Listener", "", used);
  const chains = (json.filterChains ?? []).map((chain, index) => compileChain(chain, `filterChains[${index}]`, tools));
  refuseTwins(chains);
  if (chains.length === 0 && !json.defaultFilterChain) throw new ConfigError("filterChains", "is required");
  const filters = compileListenerFilters(json.listenerFilters ?? []);
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
    direction: directions[json.trafficDirection ?? "UNSPECIFIED"],
    ...filters,
    readsOriginalDst: filters.readsOriginalDst || json.useOriginalDst === true,
    inspectTimeoutMs: durationMs(json.listenerFiltersTimeout, "listenerFiltersTimeout") ?? defaultInspectTimeoutMs,
    goesOnAfterTimeout: json.continueOnListenerFiltersTimeout === true,
    chains,
    defaultChain: json.defaultFilterChain && compileChain(json.defaultFilterChain, "defaultFilterChain", tools),
    log: compileAccessLog(json.accessLog, "accessLog", tools.logs)?.tcp,
  };
};

const directions = { UNSPECIFIED: "unspecified", INBOUND: "inbound", OUTBOUND: "outbound" } as const;

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
  return {
    name: json.name ?? "",
    match: compileMatch(json.filterChainMatch, member(at, "filterChainMatch")),
    tls: compileDownstreamTls(json.transportSocket, member(at, "transportSocket")),
    handshakeTimeoutMs:
      durationMs(json.transportSocketConnectTimeout, member(at, "transportSocketConnectTimeout")) ?? 0,
    footing: footingOf(json),
    ...compileNetworkFilters(json.filters ?? [], member(at, "filters"), tools),
  };
};

/** The last filter's own settings are left out: HTTP connections read those anew for each request. */
const footingOf = ({ transportSocket, filters = [] }: FilterChainJson): string =>
  JSON.stringify([transportSocket, filters.slice(0, -1), filters.at(-1)?.typedConfig?.["@type"]]);

const refuseTwins = (chains: readonly FilterChain[]): void => {
  const seen = new Map<string, number>();
  for (const [index, { match }] of chains.entries()) {
    const twin = seen.get(match.identity);
    if (twin !== undefined) {
      throw new ConfigError(`filterChains[${index}].filterChainMatch`, `is the same as that of filterChains[${twin}]`);
    }
    seen.set(match.identity, index);
  }
};

const compileListenerFilters = (list: readonly ListenerFilterJson[]) => {
  const found = { readsOriginalDst: false, inspectsTls: false, inspectsHttp: false, exempt: neverExempt };
  for (const [index, json] of list.entries()) {
    const at = `listenerFilters[${index}]`;
    refuseOthers(json, "ListenerFilter", at, ["name", "typedConfig", "filterDisabled"]);
    if (json.filterDisabled) found.exempt = compileExemption(json.filterDisabled, member(at, "filterDisabled"));
    const typeName = json.typedConfig ? openAny(json.typedConfig, at).typeName : (json.name ?? "");
    if (typeName.startsWith(`${filterPrefix}original_dst`) || typeName.endsWith("original_dst")) {
      found.readsOriginalDst = true;
    } else if (typeName.startsWith(`${filterPrefix}tls_inspector`) || typeName.endsWith("tls_inspector")) {
      found.inspectsTls = true;
    } else if (typeName.startsWith(`${filterPrefix}http_inspector`) || typeName.endsWith("http_inspector")) {
      found.inspectsHttp = true;
    } else throw new ConfigError(at, `the listener filter "${json.name}" (${typeName}) is not supported`);
  }
  return found;
};

const neverExempt: CompiledListener["exempt"] = () => false;

/** The predicate that disables an inspector for some destination ports. */
const compileExemption = (json: ListenerFilterChainMatchPredicateJson, at: string): CompiledListener["exempt"] => {
  refuseOthers(json, "ListenerFilterChainMatchPredicate", at, [
    "orMatch",
    "andMatch",
    "notMatch",
    "anyMatch",
    "destinationPortRange",
  ]);
  const { destinationPortRange: range, notMatch } = json;
  if (range) return (port) => port >= (range.start ?? 0) && port < (range.end ?? 0);
  if (notMatch) {
    const inner = compileExemption(notMatch, member(at, "notMatch"));
    return (port) => !inner(port);
  }
  const all = (rules: readonly ListenerFilterChainMatchPredicateJson[] | undefined, name: string) =>
    (rules ?? []).map((rule, index) => compileExemption(rule, `${at}.${name}.rules[${index}]`));
  const some = all(json.orMatch?.rules, "orMatch");
  const every = all(json.andMatch?.rules, "andMatch");
  if (some.length > 0) return (port) => some.some((test) => test(port));
  if (every.length > 0) return (port) => every.every((test) => test(port));
  return () => json.anyMatch === true;
};

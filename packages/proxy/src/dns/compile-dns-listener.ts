/** A Listener for UDP whose only filter is `envoy.filters.udp.dns_filter`; the only kind of UDP listener there is here. */
import type { SocketAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { DnsFilterConfigJson } from "@weft/xds/gen/envoy/extensions/filters/udp/dns_filter/v3/dns_filter";
import { openAny } from "../compile/any.ts";
import { durationMs, member, refuseOthers, required, unsigned, within } from "../compile/fields.ts";
import { compileResolver } from "./compile-resolver.ts";
import { compileNameTable, type NameTable } from "./name-table.ts";
import type { ResolverSettings } from "./resolve-name.ts";

/** How questions for other names are passed on. */
export interface ForwardSettings {
  readonly resolver: ResolverSettings;
  /** For all attempts together. */
  readonly timeoutMs: number;
  /** Questions under way at once; one more is answered SERVFAIL. */
  readonly questionsMax: number;
}

export interface CompiledDnsListener {
  readonly name: string;
  readonly addresses: readonly SocketAddress[];
  readonly table: NameTable;
  /** `undefined`: there are no names but those of the table. */
  readonly forward: ForwardSettings | undefined;
}

const filterType = "envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig";
const timeoutMsDefault = 5_000;
const timeoutMsMost = 30_000;
/** Questions passed on at once, where the configuration asks for more or says nothing. */
export const forwardedMax = 256;

export const isUdpListener = (json: ListenerJson | undefined): boolean =>
  json?.address?.socketAddress?.protocol === "UDP";

const loopback = (host: string): boolean => host === "::1" || (isIPv4(host) && host.startsWith("127."));

/** Whoever could ask from elsewhere could have answers sent to anybody, so only this machine can ask. */
const compileAddress = (json: AddressJson | undefined, at: string): SocketAddress => {
  const here = member(at, "socketAddress");
  const socket = required(json?.socketAddress, here);
  refuseOthers(socket, "SocketAddress", here, ["protocol", "address", "portValue"]);
  const host = socket.address ?? "";
  if (!isIPv4(host) && !isIPv6(host)) throw new ConfigError(member(here, "address"), `"${host}" is not an IP address`);
  if (!loopback(host))
    throw new ConfigError(member(here, "address"), `DNS is answered on loopback only, ${host} is not (WF3112)`);
  return { host, port: socket.portValue ?? 0 };
};

const compileForward = (json: DnsFilterConfigJson["clientConfig"]): ForwardSettings | undefined => {
  if (json === undefined) return undefined;
  refuseOthers(json, "ClientContextConfig", "", [
    ...(["resolverTimeout", "typedDnsResolverConfig", "dnsResolutionConfig", "maxPendingLookups"] as const),
  ]);
  return {
    resolver: compileResolver(json),
    timeoutMs: Math.min(durationMs(json.resolverTimeout, "resolverTimeout") ?? timeoutMsDefault, timeoutMsMost),
    questionsMax: Math.min(unsigned(json.maxPendingLookups, "maxPendingLookups") || forwardedMax, forwardedMax),
  };
};

const compileFilter = (json: DnsFilterConfigJson): Pick<CompiledDnsListener, "table" | "forward"> => {
  refuseOthers(json, "DnsFilterConfig", "", ["statPrefix", "serverConfig", "clientConfig"]);
  if (json.serverConfig?.externalDnsTable !== undefined)
    throw new ConfigError("serverConfig.externalDnsTable", "is not supported");
  const table = compileNameTable(json.serverConfig?.inlineDnsTable ?? {}, "serverConfig.inlineDnsTable");
  return { table, forward: within("clientConfig", () => compileForward(json.clientConfig)) };
};

/** Throws ConfigError for anything in it that would not be honoured. */
export const compileDnsListener = (json: ListenerJson): CompiledDnsListener => {
  refuseOthers(json, "Listener", "", [
    ...(["name", "address", "additionalAddresses", "listenerFilters", "statPrefix"] as const),
    ...(["trafficDirection", "udpListenerConfig", "enableReusePort", "metadata"] as const),
  ]);
  const [filter, more] = json.listenerFilters ?? [];
  if (filter === undefined || more !== undefined)
    throw new ConfigError("listenerFilters", "a UDP listener has one filter, envoy.filters.udp.dns_filter");
  const at = "listenerFilters[0].typedConfig";
  const { typeName, raw } = openAny(filter.typedConfig, at);
  if (typeName !== filterType) throw new ConfigError(at, `${typeName} is not supported for UDP`);
  return {
    name: required(json.name, "name"),
    addresses: [
      compileAddress(json.address, "address"),
      ...(json.additionalAddresses ?? []).map(({ address }, index) =>
        compileAddress(address, `additionalAddresses[${index}].address`),
      ),
    ],
    ...within(at, () => compileFilter(raw as DnsFilterConfigJson)),
  };
};

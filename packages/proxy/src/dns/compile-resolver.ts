/** Which name servers to ask and how, from Envoy's messages: old fields and the typed extensions for c-ares and getaddrinfo. */

import { ConfigError } from "@weft/core/config-error";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { TypedExtensionConfigJson } from "@weft/xds/gen/envoy/config/core/v3/extension";
import type { DnsResolutionConfigJson, DnsResolverOptionsJson } from "@weft/xds/gen/envoy/config/core/v3/resolver";
import type { CaresDnsResolverConfigJson } from "@weft/xds/gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, unsigned, within } from "../compile/fields.ts";
import { dnsPort } from "./resolv-conf.ts";
import { machineResolver, type ResolverSettings } from "./resolve-name.ts";

const caresType = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
const getAddrInfoType = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig";

export interface ResolverFields {
  readonly dnsResolvers?: readonly AddressJson[];
  readonly dnsResolutionConfig?: DnsResolutionConfigJson;
  readonly typedDnsResolverConfig?: TypedExtensionConfigJson;
  readonly useTcpForDnsLookups?: boolean;
}

/** More servers than this are not asked. */
const serversMax = 16;

const compileServers = (list: readonly AddressJson[] | undefined, at: string): ResolverSettings["servers"] => {
  if ((list ?? []).length > serversMax) throw new ConfigError(at, `names more than ${serversMax} servers`);
  return (list ?? []).map(({ socketAddress }, index) => {
    const here = `${at}[${index}].socketAddress`;
    const host = socketAddress?.address ?? "";
    if (!isIPv4(host) && !isIPv6(host)) throw new ConfigError(`${here}.address`, `"${host}" is not an IP address`);
    return { host, port: socketAddress?.portValue || dnsPort };
  });
};

const compileOptions = (json: DnsResolverOptionsJson | undefined, at: string) => {
  refuseOthers(json ?? {}, "DnsResolverOptions", at, ["useTcpForDnsLookups", "noDefaultSearchDomain"]);
  return { useTcp: json?.useTcpForDnsLookups === true, noSearch: json?.noDefaultSearchDomain === true };
};

/** Newer fields than the API files we generate from know. */
interface CaresJson extends CaresDnsResolverConfigJson {
  readonly queryTimeoutSeconds?: string | number;
  readonly queryTries?: number;
  readonly rotateNameservers?: boolean;
}

const compileCares = (json: CaresJson): ResolverSettings => {
  const seconds = unsigned(json.queryTimeoutSeconds, "queryTimeoutSeconds");
  const tries = unsigned(json.queryTries, "queryTries");
  return {
    servers: compileServers(json.resolvers, "resolvers"),
    fallbackOnly: json.useResolversAsFallback === true,
    ...compileOptions(json.dnsResolverOptions, "dnsResolverOptions"),
    rotate: json.rotateNameservers === true,
    timeoutMs: seconds === undefined ? undefined : seconds * 1000,
    attempts: tries === undefined ? undefined : Math.max(1, tries),
  };
};

const compileTyped = (json: TypedExtensionConfigJson, at: string): ResolverSettings => {
  const { typeName, raw } = openAny(json.typedConfig, member(at, "typedConfig"));
  if (typeName === getAddrInfoType) return machineResolver;
  if (typeName !== caresType) throw new ConfigError(member(at, "typedConfig"), `${typeName} is not supported`);
  return within(member(at, "typedConfig"), () => compileCares(raw));
};

/** The typed extension wins over the message before it, and that over the plain list, as in Envoy. */
export const compileResolver = (json: ResolverFields): ResolverSettings => {
  if (json.typedDnsResolverConfig) return compileTyped(json.typedDnsResolverConfig, "typedDnsResolverConfig");
  const { dnsResolutionConfig: config } = json;
  if (config) {
    return {
      ...machineResolver,
      servers: compileServers(config.resolvers, "dnsResolutionConfig.resolvers"),
      ...compileOptions(config.dnsResolverOptions, "dnsResolutionConfig.dnsResolverOptions"),
    };
  }
  const servers = compileServers(json.dnsResolvers, "dnsResolvers");
  return { ...machineResolver, servers, useTcp: json.useTcpForDnsLookups === true };
};

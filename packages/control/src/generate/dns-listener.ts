/** The names a workload's program looks up through its proxy: a UDP listener with Envoy's DNS filter. */
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { DnsTableJson } from "@weft/xds/gen/envoy/data/dns/v3/dns_table";
import type { DnsFilterConfigJson } from "@weft/xds/gen/envoy/extensions/filters/udp/dns_filter/v3/dns_filter";
import { any } from "@weft/xds/resource";
import type { Service } from "../model/service.ts";
import { hasIPv6 } from "./proxy-facts.ts";
import type { Scope } from "./scope.ts";
import { serviceAddresses } from "./service-addresses.ts";

export const dnsListenerName = "dns";
const answerTtl = "30s";
const resolverTimeout = "5s";
const forwardedMax = 256;
/** Of a headless service; its answers would not fit into a message. */
const headlessAddressesMax = 256;

const isIp = (text: string): boolean => isIPv4(text) || isIPv6(text);

/** Those of its endpoints where a name stands for them, else its own; networks are nothing to dial. */
const addressesOf = (scope: Scope, service: Service): readonly string[] => {
  if (!service.headless) return serviceAddresses(scope, service).filter(isIp);
  const endpoints = scope.model.endpoints.get(service.key)?.endpoints ?? [];
  const ready = endpoints.filter(({ health, address }) => health === "healthy" && isIp(address));
  return [...new Set(ready.map(({ address }) => address))].sort().slice(0, headlessAddressesMax);
};

/** What else the name of a service of the mesh's domain is called by, as seen from a namespace. */
const shortForms = ({ hostname }: Service, namespace: string, domain: string): readonly string[] => {
  const [, name, own] = /^([^.*]+)\.([^.]+)\.svc\.(.+)$/.exec(hostname) ?? [];
  if (name === undefined || own === undefined || hostname !== `${name}.${own}.svc.${domain}`) return [];
  return [`${name}.${own}.svc`, `${name}.${own}`, ...(own === namespace ? [name] : [])];
};

/** Whole names go before short ones: who calls a service `a.b` means that name. */
const tableOf = (scope: Scope): DnsTableJson => {
  const { model, proxy, egress } = scope;
  const { domain } = model.mesh;
  const names = new Map<string, readonly string[]>();
  const known: (readonly [Service, readonly string[]])[] = [];
  for (const service of egress.services.values()) {
    const addresses = addressesOf(scope, service);
    // A name without any address is one that somebody else may know.
    if (addresses.length === 0 && !service.headless) continue;
    known.push([service, addresses]);
    names.set(service.hostname.toLowerCase(), addresses);
  }
  for (const [service, addresses] of known)
    for (const form of shortForms(service, proxy.namespace, domain))
      if (!names.has(form.toLowerCase())) names.set(form.toLowerCase(), addresses);
  return {
    virtualDomains: [...names].map(([name, address]) => ({
      name,
      endpoint: { addressList: { address: [...address] } },
      answerTtl,
    })),
    // Envoy has no use for it, and warns.
    ...(proxy.native ? { knownSuffixes: [{ suffix: `svc.${domain}` }] } : {}),
  };
};

const udp = (address: string, portValue: number) => ({
  socketAddress: { protocol: "UDP" as const, address, portValue },
});

/** `undefined` where the proxy was not asked to answer for names. */
export const dnsListener = (scope: Scope): ListenerJson | undefined => {
  const { dnsAddress } = scope.proxy;
  if (dnsAddress === undefined) return undefined;
  const { host, port } = dnsAddress;
  const both = host === "127.0.0.1" && port !== 0 && hasIPv6(scope.proxy);
  const config: DnsFilterConfigJson = {
    statPrefix: "mesh",
    serverConfig: { inlineDnsTable: tableOf(scope) },
    clientConfig: {
      resolverTimeout,
      typedDnsResolverConfig: {
        name: "envoy.network.dns_resolver.cares",
        typedConfig: any("envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", {}),
      },
      maxPendingLookups: String(forwardedMax),
    },
  };
  return {
    name: dnsListenerName,
    address: udp(host, port),
    ...(both ? { additionalAddresses: [{ address: udp("::1", port) }] } : {}),
    listenerFilters: [
      {
        name: "envoy.filters.udp.dns_filter",
        typedConfig: any("envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig", config),
      },
    ],
  };
};

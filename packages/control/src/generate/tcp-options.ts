/** What the DestinationRules of its clusters make of a TCP proxy: time limits, a tunnel, a hash of the client's address. */
import type { TcpProxyJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { dnsCache } from "./dynamic-dns.ts";
import { parseClusterName } from "./names.ts";
import type { Scope } from "./scope.ts";
import { duration, type PolicyBlocks, policyFor, withMeshDefaults } from "./traffic-policy.ts";

export type TcpOptions = Pick<
  TcpProxyJson,
  "idleTimeout" | "maxDownstreamConnectionDuration" | "tunnelingConfig" | "hashPolicy"
>;

const blocksOf = (scope: Scope, clusterName: string): PolicyBlocks => {
  const parts = parseClusterName(clusterName);
  if (parts?.direction !== "outbound") return {};
  const { model, proxy } = scope;
  const service = scope.egress.services.get(parts.hostname);
  const policy = service ? model.rules().destinationPolicy(service, proxy) : undefined;
  return withMeshDefaults(policyFor(policy, parts.port, parts.subset), model.mesh);
};

/** Where a lone cluster looks hosts up as they are asked for, and connections name theirs by TLS. */
export const byServerName = (
  scope: Scope,
  clusters: readonly { readonly name: string }[],
): { readonly port: number; readonly cache: object } | undefined => {
  const [only, more] = clusters;
  const parts = only && !more ? parseClusterName(only.name) : undefined;
  if (parts?.direction !== "outbound") return undefined;
  const service = scope.model.visibleServices(scope.proxy.namespace).get(parts.hostname);
  return service?.resolution === "dynamicDns" ? { port: parts.port, cache: dnsCache(scope) } : undefined;
};

const tunnelOf = ({ tunnel }: PolicyBlocks): TcpOptions => {
  if (!tunnel) return {};
  const host = tunnel.targetHost.includes(":") ? `[${tunnel.targetHost}]` : tunnel.targetHost;
  return {
    tunnelingConfig: {
      hostname: `${host}:${tunnel.targetPort}`,
      ...(tunnel.protocol === "POST" ? { usePost: true } : {}),
    },
  };
};

/**
 * Where traffic is split the first destination's rule gives the times, any that hashes addresses has them hashed, and no
 * tunnel is made, as in Istio.
 */
export const tcpOptions = (scope: Scope, clusters: readonly { readonly name: string }[]): TcpOptions => {
  const all = clusters.map(({ name }) => blocksOf(scope, name));
  const [first = {}] = all;
  const tcp = first.connectionPool?.tcp;
  const hashed = all.some(({ loadBalancer }) => loadBalancer?.consistentHash?.useSourceIp);
  return {
    ...(tcp?.idleTimeout === undefined ? {} : { idleTimeout: duration(tcp.idleTimeout) }),
    ...(tcp?.maxConnectionDuration ? { maxDownstreamConnectionDuration: duration(tcp.maxConnectionDuration) } : {}),
    ...(hashed ? { hashPolicy: [{ sourceIp: {} }] } : {}),
    ...(all.length === 1 ? tunnelOf(first) : {}),
  };
};

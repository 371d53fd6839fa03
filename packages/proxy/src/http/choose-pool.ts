import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import { poolsOf, preconnectElsewhere } from "../pool/host-pools.ts";
import type { StreamPool } from "../pool/pool-waiter.ts";
import type { HttpTools } from "./hcm-settings.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { upstreamAlpn, upstreamName, upstreamProtocol } from "./upstream-choice.ts";

/** The pool of that host which serves the exchange. `bare`: a connection of its own, for the bytes of a CONNECT. */
export const choosePool = (
  exchange: HttpExchange,
  tools: HttpTools,
  { cluster, host, bare }: { readonly cluster: Cluster; readonly host: Host; readonly bare: boolean },
): StreamPool => {
  const { downstream, request } = exchange;
  const own = poolsOf(host, tools.pools);
  const pools = cluster.isHigh ? own.high : own;
  const serverName = upstreamName(cluster, request);
  if (bare) return pools.tunnelTo(cluster, host, downstream, serverName);
  const protocol = upstreamProtocol(cluster, exchange.protocol);
  const alpn = upstreamAlpn(exchange, protocol);
  if (cluster.preconnect.predictiveRatio > 1) preconnectElsewhere(tools.pools, cluster, protocol, alpn);
  return serverName === ""
    ? pools.poolFor(cluster, host, protocol, alpn, downstream)
    : pools.poolNamed(serverName, cluster, { host, protocol, alpn, downstream });
};

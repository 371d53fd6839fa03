import type { DownstreamInfo } from "../http/exchange.ts";
import { reserveConnection } from "../pool/upstream-slots.ts";
import type { TcpProxySettings } from "./compile-tcp-proxy.ts";
import { type DialOwner, TcpDial } from "./tcp-dial.ts";
import { pickHost } from "./tcp-proxy.ts";

/**
 * Connects to where bare bytes of a connection would go before it is known whether they will: a server that speaks
 * first is heard so. `undefined` when there is nowhere to go or no room; that is for the real attempt to complain about.
 */
export const dialEarly = (
  settings: TcpProxySettings,
  downstream: DownstreamInfo,
  owner: DialOwner,
): TcpDial | undefined => {
  const { tools, earlyDials } = settings;
  const cluster = tools.cluster(settings.clusterName(tools.random()));
  if (cluster === undefined) return undefined;
  const host = pickHost(tools, cluster, downstream);
  if (host === undefined || !reserveConnection(cluster)) return undefined;
  earlyDials.made.add(1);
  const dial = new TcpDial(tools, { cluster, host, downstream }, owner);
  if (dial.start() === undefined) return dial;
  earlyDials.failed.add(1);
  return undefined;
};

import type { DownstreamInfo } from "../http/exchange.ts";
import { reserveConnection } from "../pool/upstream-slots.ts";
import type { TcpProxySettings } from "./compile-tcp-proxy.ts";
import { pickHost } from "./tcp-choice.ts";
import { TcpDial } from "./tcp-dial.ts";
import type { LinkOwner } from "./upstream-link.ts";

/**
 * Connects to where bare bytes of a connection would go before it is known whether they will: a server that speaks
 * first is heard so. `undefined` when there is nowhere to go or no room; that is for the real attempt to complain about.
 */
export const dialEarly = (
  settings: TcpProxySettings,
  downstream: DownstreamInfo,
  owner: LinkOwner,
): TcpDial | undefined => {
  const { tools, earlyDials } = settings;
  // A tunnel is another proxy's to open: what it would be opened for is asked when it is known.
  if (settings.tunnel !== undefined) return undefined;
  const { cluster: name, metadataMatch } = settings.choose(tools.random(), downstream);
  const cluster = tools.cluster(name);
  if (cluster === undefined) return undefined;
  const pick = { hash: settings.hash?.(downstream), metadataMatch };
  const host = pickHost(tools.originalHost, cluster, downstream, pick);
  if (host === undefined || !reserveConnection(cluster, host)) return undefined;
  earlyDials.made.add(1);
  const dial = new TcpDial(tools, { cluster, host, downstream }, owner);
  dial.pick = pick;
  if (dial.start() === undefined) return dial;
  earlyDials.failed.add(1);
  return undefined;
};

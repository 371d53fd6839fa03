import type { SocketAddress } from "@weft/core/address";
import type { Connection } from "@weft/net/tcp/connection";
import type { TransparentSource } from "@weft/net/tcp/transparent-source";
import type { DownstreamInfo, ProxiedInfo } from "../http/exchange.ts";
import { DownstreamTies } from "../pool/downstream-ties.ts";
import type { FoundHeader } from "../proxy-protocol/header-reader.ts";
import type { OriginalSource } from "./compile-listener-filters.ts";

/** Where a connection comes from and goes to, and what is tied to it. */
export interface Ends {
  readonly remoteHost: string;
  readonly remotePort: number;
  readonly localHost: string;
  readonly localPort: number;
  /** The peer of the socket itself, where a proxy in front told another source. */
  readonly directHost: string;
  /** Where it was going before it was sent here; `undefined` when it came by itself. */
  readonly destination: SocketAddress | undefined;
  readonly proxied: ProxiedInfo | undefined;
  /** Where connections to hosts are to come from; `undefined` for an address of our own. */
  readonly connectsFrom: TransparentSource | undefined;
  readonly ties: DownstreamTies;
}

/** What was found out about a connection ahead of its first byte. */
export interface FoundEnds {
  readonly original: SocketAddress | undefined;
  readonly header?: FoundHeader | undefined;
  readonly source?: OriginalSource | undefined;
}

/** IPv4 as IPv4, also on a dual-stack socket. */
export const plainHost = (host: string): string =>
  host.startsWith("::ffff:") && host.includes(".") ? host.slice(7) : host;

/** The ends of a connection: what a proxy in front told wins over the original destination, and that over the socket. */
export const endsOf = (connection: Connection, { original, header: found, source: asked }: FoundEnds): Ends => {
  const directHost = plainHost(connection.remoteHost);
  const source = found?.addresses?.source ?? { host: directHost, port: connection.remotePort };
  const destination = found?.addresses?.destination ?? original;
  const local = destination ?? { host: connection.localHost, port: connection.localPort };
  return {
    remoteHost: plainHost(source.host),
    remotePort: source.port,
    localHost: plainHost(local.host),
    localPort: local.port,
    directHost,
    destination,
    proxied: found && {
      directHost,
      directPort: connection.remotePort,
      metadata: found.metadata,
      tlvs: found.tlvs,
    },
    connectsFrom: asked && {
      host: asked.asTold ? plainHost(source.host) : directHost,
      mark: asked.mark,
    },
    ties: new DownstreamTies(),
  };
};

/** What the rest of the proxy is told of a connection: all but its TLS. */
export const downstreamInfo = (
  { remoteHost, remotePort, localHost, localPort, destination, proxied, connectsFrom, ties }: Ends,
  listener: {
    readonly name: string;
    readonly direction: DownstreamInfo["direction"];
    readonly bypassesOverload: boolean;
  },
  filterChainName: string,
): DownstreamInfo => ({
  listenerName: listener.name,
  filterChainName,
  direction: listener.direction,
  bypassesOverload: listener.bypassesOverload,
  remoteHost,
  remotePort,
  localHost,
  localPort,
  originalDestination: destination,
  tls: undefined,
  proxied,
  connectsFrom,
  ties,
});

import { connectTcp } from "@weft/net/tcp/connect";
import type { Connection } from "@weft/net/tcp/connection";
import { connectTls } from "@weft/net/tls/client-tls";
import type { Cluster, UpstreamTransport } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import { type PoolTools, refusePeer } from "./pool-tools.ts";

export interface UpstreamTarget {
  readonly cluster: Cluster;
  readonly host: Host;
  readonly transport: UpstreamTransport;
  /** What to offer by ALPN; empty for none. */
  readonly alpn: readonly string[];
}

/** Told when a connection stands: whose it is, and what ALPN agreed on (empty for nothing). */
export type OnUpstream = (identities: UpstreamIdentities | undefined, alpn: string) => void;

/**
 * Opens a connection to a host over its transport. `onConnected` or the handler's `onClose` follows; without a
 * context for TLS no connection is made and the reason is returned.
 */
export const openUpstream = (
  tools: PoolTools,
  { cluster, host, transport, alpn }: UpstreamTarget,
  onConnected: OnUpstream,
): Connection | string => {
  const options = { keepAlive: cluster.tcpKeepalive, sourceAddress: cluster.sourceAddress };
  if (transport.kind === "plaintext") {
    return connectTcp(tools.loop, host.target, options, () => onConnected(undefined, ""));
  }
  const made = tools.clientContext(transport);
  if (made.kind === "missing") return made.reason;
  return connectTls(
    tools.loop,
    host.target,
    {
      context: made.context,
      sni: transport.sni,
      alpn,
      refuse: (peer) => refusePeer(transport, made.verifies, peer),
      ...options,
    },
    (peer) => onConnected({ localUri: made.localUris[0] ?? "", peerUri: peer.names.uris[0] ?? "" }, peer.alpn),
  );
};

/** The reason a connection could not be made, as Envoy's transport failure reason reads. */
export const failureText = (error: NodeJS.ErrnoException | undefined): string => {
  if (error === undefined) return "";
  const errno: Readonly<Record<string, string>> = {
    ECONNREFUSED: "delayed connect error: Connection refused",
    ECONNRESET: "delayed connect error: Connection reset by peer",
    EHOSTUNREACH: "delayed connect error: No route to host",
    ENETUNREACH: "immediate connect error: Network is unreachable",
    ETIMEDOUT: "delayed connect error: Connection timed out",
  };
  if (error.code === "EPEERREFUSED") return `TLS_error:${error.message}`;
  if (error.code?.startsWith("ERR_SSL") || error.code?.startsWith("ERR_TLS")) return `TLS_error:${error.message}`;
  return errno[error.code ?? ""] ?? error.message;
};

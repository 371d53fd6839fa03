import { connectTcp } from "@weft/net/tcp/connect";
import { connectAny } from "@weft/net/tcp/connect-any";
import type { Connection } from "@weft/net/tcp/connection";
import { type ClientTlsOptions, connectTls, upgradeClient } from "@weft/net/tls/client-tls";
import type { TlsPeer } from "@weft/net/tls/peer";
import type { Cluster, SanMatcher, UpstreamTransport } from "../clusters/cluster.ts";
import type { Host, HostTarget } from "../clusters/host.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import { isIp } from "../matching/cidr.ts";
import { type UpstreamProxyProtocol, upstreamHeader } from "../proxy-protocol/upstream-header.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { orderAddresses } from "./address-order.ts";
import { deadPeerProbeMs } from "./limits.ts";
import { type PoolTools, refusePeer } from "./pool-tools.ts";

export interface UpstreamTarget {
  readonly cluster: Cluster;
  readonly host: Host;
  readonly transport: UpstreamTransport;
  /** What to offer by ALPN; empty for none. */
  readonly alpn: readonly string[];
  /** The name that requests on it gave, where the cluster asks the server for that. */
  readonly serverName?: string | undefined;
  /** Whose bytes it will carry, where a PROXY protocol header or the source address tells that. */
  readonly downstream?: DownstreamInfo | undefined;
}

/** Told when a connection stands: whose it is, and what ALPN agreed on (empty for nothing). */
export type OnUpstream = (identities: UpstreamIdentities | undefined, alpn: string) => void;

/**
 * Opens a connection to a host over its transport. `onConnected` or the handler's `onClose` follows; without a
 * context for TLS no connection is made and the reason is returned.
 */
export const openUpstream = (
  tools: PoolTools,
  { cluster, host, transport, alpn, downstream, serverName }: UpstreamTarget,
  onUpstream: OnUpstream,
): Connection | string => {
  const startMs = tools.wheel.nowMs();
  const onConnected: OnUpstream = (identities, agreed) => {
    cluster.times.connectTook(Math.round(tools.wheel.nowMs() - startMs));
    if (identities !== undefined) cluster.counters.sslHandshake++;
    onUpstream(identities, agreed);
  };
  const opened = (connection: Connection): Connection => {
    connection.openedMs = startMs;
    return connection;
  };
  const transparentSource = downstream?.connectsFrom;
  const options = {
    keepAlive: cluster.tcpKeepalive ?? probing,
    sourceAddress: sourceFor(cluster, host.target),
    transparentSource,
  };
  const { proxyProtocol } = transport;
  // A source of somebody else's goes with the one address that it was asked for.
  const several = transparentSource === undefined && host.addresses !== undefined;
  const dial = (onStands: () => void): Connection =>
    several ? dialAny(tools, cluster, host, onStands) : connectTcp(tools.loop, host.target, options, onStands);
  if (transport.kind === "plaintext") {
    const connection = dial(() => {
      if (proxyProtocol !== undefined) writeHeader(connection, proxyProtocol, downstream);
      onConnected(undefined, "");
    });
    return opened(connection);
  }
  const made = tools.clientContext(transport);
  if (made.kind === "missing") return made.reason;
  const handshake: ClientTlsOptions = {
    context: made.context,
    sni: sniOf(cluster, transport.sni, serverName),
    alpn,
    refuse: (peer) => {
      const sans = provenBy(cluster, transport.sans, serverName);
      return refusePeer({ sans, pins: transport.pins }, made.verifies, peer);
    },
  };
  const onSecure = (peer: TlsPeer): void =>
    onConnected({ localUri: made.localUris[0] ?? "", peerUri: peer.names.uris[0] ?? "" }, peer.alpn);
  if (proxyProtocol === undefined && transparentSource === undefined && !several) {
    return opened(connectTls(tools.loop, host.target, { ...handshake, ...options }, onSecure));
  }
  const connection = dial(() => {
    if (proxyProtocol !== undefined) writeHeader(connection, proxyProtocol, downstream);
    upgradeClient(connection, handshake, onSecure);
  });
  return opened(connection);
};

const dialAny = (tools: PoolTools, cluster: Cluster, host: Host, onStands: () => void): Connection => {
  const targets = orderAddresses(host.addresses ?? [host.target], cluster.happyEyeballs);
  const choices = targets.map((target) => ({ target, sourceAddress: sourceFor(cluster, target) }));
  const after = (delayMs: number, run: () => void): Disposable => {
    const timer = new WheelTimer({ onTimer: run }, 0);
    tools.wheel.arm(timer, delayMs);
    return { [Symbol.dispose]: () => timer.disarm() };
  };
  return connectAny(tools.loop, choices, { keepAlive: cluster.tcpKeepalive ?? probing, after }, onStands);
};

/** Addresses are no names a server could be asked for (RFC 6066 §3). */
const sniOf = ({ http }: Cluster, configured: string, name: string | undefined): string =>
  name !== undefined && name !== "" && http.names?.sni === true && !isIp(name) ? name : configured;

/** What the server's certificate has to tell: the name alone, where it is asked for that. */
const provenBy = ({ http }: Cluster, configured: readonly SanMatcher[], name: string | undefined) =>
  name !== undefined && name !== "" && http.names?.san === true ? [exactSan(name)] : configured;

const exactSan = (value: string): SanMatcher => ({
  of: "any",
  kind: "exact",
  value,
  test: (san) => san.toLowerCase() === value.toLowerCase(),
});

/** As Envoy: the first source of the host's family, else the first. */
const sourceFor = ({ sourceAddresses }: Cluster, target: HostTarget): string | undefined => {
  if (sourceAddresses.length < 2 || target.kind !== "ip") return sourceAddresses[0];
  const six = target.host.includes(":");
  return sourceAddresses.find((address) => address.includes(":") === six) ?? sourceAddresses[0];
};

const writeHeader = (
  connection: Connection,
  settings: UpstreamProxyProtocol,
  downstream: DownstreamInfo | undefined,
): void => {
  const own = () => ({
    source: { host: connection.localHost, port: connection.localPort },
    destination: { host: connection.remoteHost, port: connection.remotePort },
  });
  connection.writeAhead(upstreamHeader(settings, downstream, own));
};

/** A connection that stood has closed: how long it lasted is recorded. */
export const connectionLasted = ({ wheel }: PoolTools, cluster: Cluster, { openedMs }: Connection): void =>
  cluster.times.connectionLasted(Math.round(wheel.nowMs() - openedMs));

/** A host that vanished without a word is found out, also where nobody configured that. */
const probing = { timeMs: deadPeerProbeMs };

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

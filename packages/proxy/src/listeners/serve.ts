import type { Logger } from "@weft/core/world";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { TlsPeer } from "@weft/net/tls/peer";
import { type ServerTlsOptions, upgradeServer } from "@weft/net/tls/server-tls";
import { acceptsPins } from "../clusters/certificate-pins.ts";
import { acceptsNames } from "../clusters/tls-context.ts";
import type { ConnectionVerdict } from "../filters/network/rbac.ts";
import type { DownstreamInfo, DownstreamTlsInfo } from "../http/exchange.ts";
import { serveHttp } from "../http/serve-http.ts";
import type { ServedConnection } from "../http/server-connection.ts";
import type { BuiltContext, ContextInput } from "../runtime/secrets.ts";
import type { TcpDial } from "../tcp/tcp-dial.ts";
import { TcpProxy } from "../tcp/tcp-proxy.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { FilterChain } from "./compile-listener.ts";
import type { DownstreamTls } from "./downstream-tls.ts";
import type { HandshakePacer } from "./handshake-pacer.ts";
import { countHandshake, type ListenerCounters } from "./listener-counters.ts";

/** What serving a connection needs besides its chain. */
export interface ServeTools {
  readonly wheel: TimerWheel;
  readonly handshakes: HandshakePacer;
  readonly context: (input: ContextInput) => BuiltContext;
  readonly log?: Logger;
}

export interface Serving {
  readonly counters: ListenerCounters;
  readonly chain: FilterChain;
  readonly connection: Connection;
  /** All but its TLS, which is known only later. */
  readonly info: DownstreamInfo;
  readonly sni: string;
  /** What the client offered by ALPN. */
  readonly offered: readonly string[];
  /** What was read of the connection already. */
  readonly firstBytes: Buffer;
  /** The connection to where its bytes go, where that was made ahead. */
  readonly dial: TcpDial | undefined;
}

const waiting = (onClose: () => void): ConnectionHandler => ({
  onRead() {},
  onPeerEnd() {},
  onDrain() {},
  onClose,
});

/** Why the client's certificate does not do; `undefined` when it does. */
const refuseClient = (chain: FilterChain, verifies: boolean, peer: TlsPeer): string | undefined => {
  const { tls } = chain;
  if (tls === undefined) return undefined;
  if (!peer.hasCertificate) return tls.requireClientCertificate ? "no client certificate" : undefined;
  if (!verifies) return undefined;
  if (!peer.verified) return peer.verifyError;
  if (tls.pins !== undefined && !acceptsPins(tls.pins, peer)) return "neither certificate nor key is accepted";
  if (tls.sans.length === 0) return undefined;
  return acceptsNames(tls.sans, peer.names) ? undefined : "no name of the client certificate is accepted";
};

const tlsInfo = (peer: TlsPeer, trusted: boolean, localUris: readonly string[]): DownstreamTlsInfo => ({
  sni: peer.sni,
  alpn: peer.alpn,
  version: peer.version,
  peerUris: trusted ? peer.names.uris : [],
  peerDnsNames: trusted ? peer.names.dnsNames : [],
  peerSubject: trusted ? peer.subject : "",
  peerFingerprint: trusted ? peer.fingerprint : "",
  peerPem: trusted ? peer.pem : "",
  localUris,
});

/** A client that ends its side before the handshake is over cannot end the handshake. */
const shaking = (connection: Connection, onClose: () => void): ConnectionHandler => ({
  ...waiting(onClose),
  onPeerEnd: () => connection.destroy(),
});

/** Closes a connection that is denied, at once or, unread, after a while: who comes again and again is slowed down. */
const turnAway = (
  connection: Connection,
  { closeAfterMs = 0 }: ConnectionVerdict,
  wheel: TimerWheel,
  onGone: () => void,
): void => {
  const timer = new WheelTimer({ onTimer: () => connection.destroy() }, 0);
  connection.handler = {
    ...waiting(() => {
      timer.retire();
      onGone();
    }),
    onRead: () => connection.pause(),
    onPeerEnd: () => connection.destroy(),
  };
  if (closeAfterMs > 0) wheel.arm(timer, closeAfterMs);
  else connection.destroy();
};

/** How long a client that was told everything may keep its own side open. */
export const answeredLingerMs = 10_000;

const answerOnce = (connection: Connection, body: Buffer, wheel: TimerWheel, onGone: () => void): void => {
  const timer = new WheelTimer({ onTimer: () => connection.destroy() }, 0);
  connection.handler = waiting(() => {
    timer.retire();
    onGone();
  });
  connection.write(body);
  connection.end();
  if (connection.open) wheel.arm(timer, answeredLingerMs);
};

/** Hands a connection to its chain: TLS first when the chain has it, then network filters, then what ends the chain. */
export const serve = (
  serving: Serving,
  tools: ServeTools,
  track: (served: ServedConnection) => void,
  onGone: () => void,
): void => {
  const { chain, connection, info } = serving;
  for (const limit of chain.limits) {
    const verdict = limit(info);
    if (verdict.allowed) continue;
    turnAway(connection, verdict, tools.wheel, onGone);
    return;
  }
  if (chain.tls === undefined) {
    start({ ...serving, wheel: tools.wheel }, info, track, onGone);
    if (serving.firstBytes.length > 0 && connection.open) connection.handler.onRead(serving.firstBytes);
    return;
  }
  const built = tools.context(chain.tls);
  if (built.kind === "missing" || (chain.tls.requireSni && serving.sni === "")) {
    connection.handler = waiting(onGone);
    connection.destroy();
    return;
  }
  const timer = new WheelTimer({ onTimer: () => connection.destroy() }, 0);
  tools.wheel.arm(timer, chain.handshakeTimeoutMs > 0 ? chain.handshakeTimeoutMs : handshakeMostMs);
  let secured = false;
  connection.handler = shaking(connection, () => {
    if (!secured) tools.log?.debug("TLS handshake failed", { listener: info.listenerName, client: info.remoteHost });
    if (!secured) serving.counters.tls().connectionErrors.add(1);
    timer.retire();
    onGone();
  });
  const begin = (): void =>
    upgradeServer(connection, optionsOf(serving, chain.tls as DownstreamTls, built), (peer) => {
      timer.retire();
      secured = true;
      const refusal = refuseClient(chain, built.verifies, peer);
      countHandshake(serving.counters, peer, refusal);
      if (refusal !== undefined) {
        tools.log?.debug("TLS client refused", { listener: info.listenerName, client: info.remoteHost, why: refusal });
        connection.destroy();
        return;
      }
      const trusted = peer.hasCertificate && built.verifies && peer.verified;
      const known = { ...info, tls: tlsInfo(peer, trusted, built.localUris) };
      start({ ...serving, wheel: tools.wheel }, known, track, onGone);
    });
  const { handshakes } = tools;
  if (handshakes.ready) {
    handshakes.take();
    begin();
    return;
  }
  // What comes after the hello stays with the kernel until it is this connection's turn.
  connection.pause();
  if (!handshakes.wait({ wanted: () => connection.open, begin })) connection.destroy();
};

const optionsOf = (
  { offered, sni, firstBytes }: Serving,
  tls: DownstreamTls,
  { context }: Extract<BuiltContext, { kind: "ready" }>,
): ServerTlsOptions => ({
  context,
  alpn: offered.length === 0 ? undefined : tls.alpn.find((name) => offered.includes(name)),
  requestCertificate: tls.requireClientCertificate || tls.trust !== undefined,
  sni,
  firstBytes,
});

/** A handshake is never waited for longer than this. */
const handshakeMostMs = 15_000;

const start = (
  { chain, connection, dial, wheel }: Serving & Pick<ServeTools, "wheel">,
  downstream: DownstreamInfo,
  track: (served: ServedConnection) => void,
  onGone: () => void,
): void => {
  for (const allow of chain.allow) {
    if (allow(downstream).allowed) continue;
    connection.handler = waiting(onGone);
    connection.destroy();
    return;
  }
  const { terminal } = chain;
  switch (terminal.kind) {
    case "http":
      serveHttp({ slot: terminal.slot, connection, downstream }, track, onGone);
      return;
    case "tcp": {
      const proxy = new TcpProxy(terminal.settings, connection, downstream, onGone);
      track(proxy);
      proxy.start(dial);
      return;
    }
    case "direct":
      answerOnce(connection, terminal.body, wheel, onGone);
      return;
    case "echo":
      connection.handler = {
        onRead: (bytes) => {
          connection.write(bytes);
          if (connection.congested) connection.pause();
        },
        onPeerEnd: () => connection.end(),
        onDrain: () => connection.resume(),
        onClose: onGone,
      };
  }
};

import { TLSSocket } from "node:tls";
import type { Connection } from "../tcp/connection.ts";
import { exchangeSocket } from "./exchange-socket.ts";
import { type TlsPeer, tlsPeer } from "./peer.ts";
import type { TlsContext } from "./tls-material.ts";

export interface ServerTlsOptions {
  readonly context: TlsContext;
  /** The protocol to agree on, chosen from what the client offered; `undefined` answers without ALPN. */
  readonly alpn: string | undefined;
  readonly requestCertificate: boolean;
  readonly sni: string;
  /** The context for a client that asks for this name; `undefined`: the one above. */
  readonly contextFor?: (name: string) => TlsContext | undefined;
  /** What was read already: the client's first bytes. */
  readonly firstBytes: Buffer;
}

/**
 * Turns an accepted connection into a TLS server. `onSecure` comes once the handshake is done, or the connection's
 * `onClose` without it. Whether an unverified peer may stay is the caller's to decide there.
 */
export const upgradeServer = (
  connection: Connection,
  options: ServerTlsOptions,
  onSecure: (peer: TlsPeer) => void,
): void => {
  const raw = connection.socket;
  const { contextFor } = options;
  raw.pause();
  raw.unshift(options.firstBytes);
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext: options.context,
    requestCert: options.requestCertificate,
    rejectUnauthorized: false,
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [options.alpn] }),
    ...(contextFor ? { SNICallback: (name, answer) => answer(null, contextFor(name)) } : {}),
  });
  exchangeSocket(connection, socket);
  socket.once("secure", () => {
    if (connection.open) onSecure(tlsPeer(socket, options.sni));
  });
};

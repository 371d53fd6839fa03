import { isIP } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import type { ConnectOptions, ConnectTarget } from "../tcp/connect.ts";
import { Connection } from "../tcp/connection.ts";
import type { SocketLoop } from "../tcp/socket-loop.ts";
import { exchangeSocket } from "./exchange-socket.ts";
import { type TlsPeer, tlsPeer } from "./peer.ts";
import type { TlsContext } from "./tls-material.ts";

export interface ClientTlsOptions {
  readonly context: TlsContext;
  readonly sni: string;
  readonly alpn: readonly string[];
  /** Called after the handshake; a text refuses the server, and the connection closes with it as its error. */
  readonly refuse: (peer: TlsPeer) => string | undefined;
}

/** Opens a TLS connection. `onConnected` comes after the server was accepted, or the handler's `onClose` without it. */
export const connectTls = (
  loop: SocketLoop,
  target: ConnectTarget,
  options: ClientTlsOptions & ConnectOptions,
  onConnected: (peer: TlsPeer) => void,
): Connection => {
  let connection: Connection | undefined;
  const settings = {
    ...(target.kind === "ip" ? { host: target.host, port: target.port } : { path: target.path }),
    noDelay: true,
    allowHalfOpen: true,
    ...handshakeSettings(options),
    ...(options.keepAlive ? { keepAlive: true, keepAliveInitialDelay: options.keepAlive.timeMs } : {}),
    ...(options.sourceAddress === undefined ? {} : { localAddress: options.sourceAddress }),
    ...(loop.useReadBuffer
      ? {
          onread: {
            buffer: loop.readBuffer,
            callback: (length: number, buffer: Uint8Array) => {
              const bytes = buffer as Buffer;
              connection?.received(length === bytes.length ? bytes : bytes.subarray(0, length));
              return true;
            },
          },
        }
      : {}),
  };
  const socket = connect(settings as ConnectionOptions);
  const made = new Connection(loop, socket);
  made.markEncrypted();
  connection = made;
  if (!loop.useReadBuffer) socket.on("data", (bytes: Buffer) => made.received(bytes));
  judgeServer(made, socket, options, onConnected);
  return made;
};

/** Speaks TLS as a client on a plaintext connection that stands. What follows is as for `connectTls`. */
export const upgradeClient = (
  connection: Connection,
  options: ClientTlsOptions,
  onConnected: (peer: TlsPeer) => void,
): void => {
  const socket = connect({ socket: connection.socket, ...handshakeSettings(options) });
  exchangeSocket(connection, socket);
  judgeServer(connection, socket, options, onConnected);
};

const handshakeSettings = ({ context, sni, alpn }: ClientTlsOptions): ConnectionOptions => ({
  secureContext: context,
  // Names are checked by `refuse`, and the chain's verdict is read there.
  rejectUnauthorized: false,
  checkServerIdentity: () => undefined,
  servername: sni === "" || isIP(sni) !== 0 ? "" : sni,
  ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
});

const judgeServer = (
  connection: Connection,
  socket: TLSSocket,
  options: ClientTlsOptions,
  onConnected: (peer: TlsPeer) => void,
): void => {
  socket.once("secureConnect", () => {
    if (!connection.open) return;
    const peer = tlsPeer(socket, options.sni);
    const problem = options.refuse(peer);
    if (problem !== undefined) {
      connection.destroy(Object.assign(new Error(problem), { code: "EPEERREFUSED" }));
      return;
    }
    onConnected(peer);
    connection.flush();
  });
};

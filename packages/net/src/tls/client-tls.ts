import { isIP } from "node:net";
import { type ConnectionOptions, connect } from "node:tls";
import type { ConnectOptions, ConnectTarget } from "../tcp/connect.ts";
import { Connection } from "../tcp/connection.ts";
import type { SocketLoop } from "../tcp/socket-loop.ts";
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
    secureContext: options.context,
    // Names are checked by `refuse`, and the chain's verdict is read there.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    ...(options.sni === "" || isIP(options.sni) !== 0 ? { servername: "" } : { servername: options.sni }),
    ...(options.alpn.length === 0 ? {} : { ALPNProtocols: [...options.alpn] }),
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
  socket.once("secureConnect", () => {
    if (!made.open) return;
    const peer = tlsPeer(socket, options.sni);
    const problem = options.refuse(peer);
    if (problem !== undefined) {
      made.destroy(Object.assign(new Error(problem), { code: "EPEERREFUSED" }));
      return;
    }
    onConnected(peer);
    made.flush();
  });
  return made;
};

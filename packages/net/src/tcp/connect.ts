import { connect, Socket, type SocketConstructorOpts } from "node:net";
import { Connection } from "./connection.ts";
import { readOption } from "./read-option.ts";
import type { SocketLoop } from "./socket-loop.ts";
import { openTransparent, type TransparentSource } from "./transparent-source.ts";

export type ConnectTarget =
  | { readonly kind: "ip"; readonly host: string; readonly port: number }
  | { readonly kind: "pipe"; readonly path: string };

export interface KeepAlive {
  readonly timeMs: number;
}

export interface ConnectOptions {
  readonly keepAlive?: KeepAlive | undefined;
  /** Our own address to connect from. */
  readonly sourceAddress?: string | undefined;
  /** Somebody else's address to connect from, in place of our own. */
  readonly transparentSource?: TransparentSource | undefined;
}

/** How a socket is made that is to be read for the connection that `connectionOf` gives. */
export const socketSettings = (
  loop: SocketLoop,
  { keepAlive }: Pick<ConnectOptions, "keepAlive">,
  connectionOf: () => Connection | undefined,
) => ({
  noDelay: true,
  allowHalfOpen: true,
  ...(keepAlive ? { keepAlive: true, keepAliveInitialDelay: keepAlive.timeMs } : {}),
  ...(loop.useReadBuffer ? { onread: readOption(loop, connectionOf) } : {}),
});

/** Opens a plaintext connection. `onConnected` comes once, or the handler's `onClose` without it. */
export const connectTcp = (
  loop: SocketLoop,
  target: ConnectTarget,
  options: ConnectOptions,
  onConnected: () => void,
): Connection => {
  let connection: Connection | undefined;
  const { sourceAddress, transparentSource } = options;
  const settings = socketSettings(loop, options, () => connection);
  const socket =
    transparentSource !== undefined && target.kind === "ip"
      ? connectFrom(transparentSource, target, settings)
      : connect({
          ...(target.kind === "ip" ? { host: target.host, port: target.port } : { path: target.path }),
          ...settings,
          ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
        });
  const made = new Connection(loop, socket);
  connection = made;
  if (!loop.useReadBuffer) {
    socket.on("data", (bytes: Buffer) => made.received(bytes));
  }
  socket.once("connect", () => {
    if (!made.open) return;
    onConnected();
    made.flush();
  });
  return made;
};

/** A socket of our own making, which Node is given to connect. What cannot be made closes with the reason. */
const connectFrom = (
  source: TransparentSource,
  { host, port }: { readonly host: string; readonly port: number },
  settings: object,
): Socket => {
  const fd = openTransparent(source);
  if (typeof fd !== "number") return new Socket().destroy(fd);
  // `manualStart`: what is not connected yet cannot be read.
  const socket = new Socket({ ...settings, fd, manualStart: true } as SocketConstructorOpts);
  return socket.connect({ host, port });
};

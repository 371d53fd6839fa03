import { connect } from "node:net";
import { Connection } from "./connection.ts";
import { readOption } from "./read-option.ts";
import type { SocketLoop } from "./socket-loop.ts";

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
}

/** Opens a plaintext connection. `onConnected` comes once, or the handler's `onClose` without it. */
export const connectTcp = (
  loop: SocketLoop,
  target: ConnectTarget,
  { keepAlive, sourceAddress }: ConnectOptions,
  onConnected: () => void,
): Connection => {
  let connection: Connection | undefined;
  const socket = connect({
    ...(target.kind === "ip" ? { host: target.host, port: target.port } : { path: target.path }),
    noDelay: true,
    allowHalfOpen: true,
    ...(keepAlive ? { keepAlive: true, keepAliveInitialDelay: keepAlive.timeMs } : {}),
    ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
    ...(loop.useReadBuffer ? { onread: readOption(loop, () => connection) } : {}),
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

import type { TLSSocket } from "node:tls";
import type { Connection } from "../tcp/connection.ts";
import { readInto } from "./read-into.ts";

/** Puts the TLS wrapping of a connection's socket in its place, read into the thread's buffer where that can be had. */
export const exchangeSocket = (connection: Connection, socket: TLSSocket): void => {
  const { loop } = connection;
  const shared =
    loop.useReadBuffer &&
    readInto(socket, loop.readBuffer, (length, buffer) => {
      connection.received(length === buffer.length ? buffer : buffer.subarray(0, length));
      return true;
    });
  connection.replaceSocket(socket, !shared);
  // Without 'data' events nothing else would make it flow, and so end.
  if (shared) socket.resume();
};

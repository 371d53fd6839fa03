import type { Connection } from "./connection.ts";
import type { SocketLoop } from "./socket-loop.ts";

/** `net.Socket`'s `onread`: reads into the thread's buffer, or the connection's own while much is read. */
export interface ReadOption {
  /** Asked before the first read and after each; anything but a buffer keeps the present one. */
  readonly buffer: () => Buffer;
  readonly callback: (length: number, buffer: Uint8Array) => boolean;
}

/** Reads for the connection that `connectionOf` gives as soon as it is made. */
export const readOption = (loop: SocketLoop, connectionOf: () => Connection | undefined): ReadOption => ({
  buffer: () => {
    const connection = connectionOf();
    // The types know nothing of keeping the present buffer, which spares Node looking it up at each read.
    return connection === undefined ? loop.readBuffer : (connection.nextReadBuffer() as Buffer);
  },
  callback: (length, buffer) => {
    connectionOf()?.receivedInto(buffer as Buffer, length);
    return true;
  },
});

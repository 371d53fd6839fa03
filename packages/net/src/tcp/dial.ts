/** A plain TCP connection for control traffic: a few long-lived ones, not the data path. */
import { connect } from "node:net";
import type { SocketAddress } from "@weft/core/address";

export interface DialHandler {
  readonly onConnected: () => void;
  /** `bytes` are only valid during the call. */
  readonly onRead: (bytes: Buffer) => void;
  /** Called once, last, unless we closed it ourselves; also where it never stood. */
  readonly onClose: (reason: string) => void;
}

export interface Dialed {
  readonly write: (bytes: Uint8Array) => void;
  /** Closes at once. The handler hears nothing any more. */
  readonly close: () => void;
  /** Closes when what was written is out, or soon. The handler hears nothing any more. */
  readonly finish: () => void;
}

/** Connects to an address or a name; names are resolved by the system. Takes its time: the caller closes what takes long. */
export type Dial = (address: SocketAddress, handler: DialHandler) => Dialed;

/** What was written before `finish` has this long to go out. */
const finishMs = 1_000;

export const dialTcp: Dial = ({ host, port }, handler) => {
  const socket = connect({ host, port, noDelay: true, keepAlive: true });
  let ours = false;
  let reason = "the peer closed the connection";
  socket.on("connect", () => {
    if (!ours) handler.onConnected();
  });
  socket.on("data", (bytes: Buffer) => {
    if (!ours) handler.onRead(bytes);
  });
  socket.on("error", (error) => {
    reason = error.message;
  });
  socket.on("close", () => {
    if (!ours) handler.onClose(reason);
  });
  return {
    write: (bytes) => void socket.write(bytes),
    close() {
      ours = true;
      socket.destroy();
    },
    finish() {
      ours = true;
      socket.setTimeout(finishMs, () => socket.destroy());
      socket.destroySoon();
      socket.unref();
    },
  };
};

/** A client that writes HTTP/2 frames as it likes, and sees how it is answered. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { FRAME, h2ErrorName } from "@weft/protocols/http2/protocol";
import { preface, settings, settingsAck } from "@weft/protocols/http2/testing/frames";

export interface RawHttp2 extends Disposable {
  readonly socket: Socket;
  /** Resolves once the kernel took it, or the connection is closed. */
  send(bytes: Buffer): Promise<void>;
  /** The name of the last GOAWAY's error; undefined before one came. */
  readonly goaway: () => string | undefined;
  readonly isClosed: () => boolean;
  /** How many frames of that type came. */
  readonly count: (type: number) => number;
  readonly closed: Promise<void>;
  /** Resolves when that holds; it is looked at after each read and at the close. */
  until(holds: () => boolean): Promise<void>;
  reset(): void;
}

export interface RawOptions {
  readonly tls?: boolean;
  /** Leave out the preface and SETTINGS. */
  readonly silent?: boolean;
}

/** Opens a connection and says the preface. */
export const openRaw = async (port: number, { tls = false, silent = false }: RawOptions = {}): Promise<RawHttp2> => {
  const socket = tls
    ? connectTls({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false })
    : connect(port, "127.0.0.1");
  const counts = new Map<number, number>();
  const watchers = new Set<() => void>();
  let rest: Buffer = Buffer.alloc(0);
  let goaway: string | undefined;
  let isClosed = false;
  const wake = (): void => {
    for (const watcher of watchers) watcher();
  };
  socket.on("data", (bytes: Buffer) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      const type = rest[3] ?? 0;
      counts.set(type, (counts.get(type) ?? 0) + 1);
      if (type === FRAME.goaway) goaway = h2ErrorName(rest.readUInt32BE(13));
      rest = rest.subarray(end);
    }
    wake();
  });
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      isClosed = true;
      resolve();
      wake();
    });
  });
  await new Promise<void>((resolve) => {
    socket.once(tls ? "secureConnect" : "connect", () => resolve());
    socket.once("close", () => resolve());
  });
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!holds() && !isClosed) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
    });
  const send = (bytes: Buffer): Promise<void> =>
    new Promise((resolve) => {
      if (isClosed || socket.destroyed) return resolve();
      const done = (): void => {
        watchers.delete(look);
        resolve();
      };
      const look = (): void => void (isClosed && done());
      watchers.add(look);
      socket.write(bytes, done);
    });
  if (!silent) await send(Buffer.concat([preface, settings, settingsAck]));
  return {
    socket,
    send,
    goaway: () => goaway,
    isClosed: () => isClosed,
    count: (type) => counts.get(type) ?? 0,
    closed,
    until,
    reset: () => void (tls ? socket.destroy() : socket.resetAndDestroy()),
    [Symbol.dispose]: () => void socket.destroy(),
  };
};

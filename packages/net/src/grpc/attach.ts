/**
 * gRPC on the port of an HTTP/1 server: connections that begin with HTTP/2's preface (RFC 9113 section 3.4) are served
 * as gRPC, all others as before.
 */
import type { Server, Socket } from "node:net";
import type { Logger } from "@weft/core/world";
import { Http2Workspace } from "@weft/protocols/http2/workspace";
import { readByData } from "../tcp/accept.ts";
import { SocketLoop } from "../tcp/socket-loop.ts";
import type { BidiCall, GrpcHandler } from "./calls.ts";
import { GrpcConnection } from "./server-connection.ts";

export interface AttachOptions {
  /** By path. */
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  readonly log: Logger;
  readonly messageBytesMax?: number;
  /** How long a connection may take to show what it speaks. */
  readonly firstBytesTimeoutMs?: number;
}

/** No method of HTTP/1 begins so. */
const prefaceStart = Buffer.from("PRI");
const messageBytesDefault = 1024 * 1024;
const firstBytesTimeoutDefaultMs = 10_000;
const keepalive = { intervalMs: 30_000, timeoutMs: 10_000 };
const sweepMs = 1_000;

/** To be called before the server listens. Disposing ends the gRPC connections. */
export const attachGrpc = (server: Server, options: AttachOptions): Disposable => {
  const { handlers, log, messageBytesMax = messageBytesDefault } = options;
  const served = new Set<GrpcConnection>();
  const calls = new Set<BidiCall>();
  const loop = new SocketLoop({ useReadBuffer: false });
  const workspace = new Http2Workspace();
  const nowMs = (): number => performance.now();
  const sweeping = setInterval(() => {
    for (const one of served) one.tick(nowMs());
  }, sweepMs);
  sweeping.unref();
  const serveGrpc = (socket: Socket): void => {
    const connection = readByData(loop, socket);
    const address = connection.remoteHost;
    const one = new GrpcConnection(connection, {
      ...{ handlers, log, messageBytesMax, calls, workspace, nowMs, wallMs: () => Date.now(), keepalive },
      shown: { peer: { address, secure: false, spiffe: undefined }, validToMs: Number.POSITIVE_INFINITY },
      onFirstCall: () => {},
      onGone: () => void served.delete(one),
    });
    served.add(one);
    connection.resume();
  };
  const others = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const serve = (isHttp2: boolean): void => {
      if (isHttp2) serveGrpc(socket);
      else for (const listener of others) listener.call(server, socket);
    };
    sniff(socket, options.firstBytesTimeoutMs ?? firstBytesTimeoutDefaultMs, serve);
  });
  return {
    [Symbol.dispose]: () => {
      clearInterval(sweeping);
      for (const one of served) one.destroy();
    },
  };
};

/** Decides by the first bytes and puts them back. */
const sniff = (socket: Socket, timeoutMs: number, decided: (isHttp2: boolean) => void): void => {
  const destroy = (): void => void socket.destroy();
  const timer = setTimeout(destroy, timeoutMs);
  let held: Buffer = Buffer.alloc(0);
  const read = (): void => {
    const chunk: Buffer | null = socket.read();
    if (!chunk) return;
    held = Buffer.concat([held, chunk]);
    const start = held.subarray(0, prefaceStart.length);
    if (start.length < prefaceStart.length && start.equals(prefaceStart.subarray(0, start.length))) return;
    done();
    socket.unshift(held);
    decided(start.equals(prefaceStart));
  };
  const done = (): void => {
    clearTimeout(timer);
    socket.off("readable", read).off("error", destroy).off("close", done).off("end", destroy);
  };
  socket.on("readable", read).on("error", destroy).on("close", done).on("end", destroy);
};

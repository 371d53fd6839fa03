/**
 * gRPC on the port of an HTTP/1 server: connections that begin with HTTP/2's preface (RFC 9113 section 3.4) are served
 * as gRPC, all others as before.
 */
import http2 from "node:http2";
import type { Server, Socket } from "node:net";
import type { Logger } from "@weft/core/world";
import { acceptStream, type BidiCall, type GrpcHandler } from "./calls.ts";

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
const settings: http2.Settings = { enablePush: false, maxConcurrentStreams: 16, maxHeaderListSize: 32_768 };
const sessionMemoryMaxMb = 64;

/** To be called before the server listens. Disposing ends the gRPC connections. */
export const attachGrpc = (server: Server, options: AttachOptions): Disposable => {
  const { handlers, log, messageBytesMax = messageBytesDefault } = options;
  const sessions = new Set<http2.ServerHttp2Session>();
  const calls = new Set<BidiCall>();
  const grpc = http2.createServer({ settings, maxSessionMemory: sessionMemoryMaxMb });
  grpc.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.once("close", () => sessions.delete(session));
  });
  grpc.on("sessionError", (error) => log.debug("gRPC connection failed", { error: error.message }));
  grpc.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) =>
    acceptStream(stream, headers, { handlers, log, messageBytesMax, calls }),
  );
  const others = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const serve = (isHttp2: boolean): void => {
      if (isHttp2) grpc.emit("connection", socket);
      else for (const listener of others) listener.call(server, socket);
    };
    sniff(socket, options.firstBytesTimeoutMs ?? firstBytesTimeoutDefaultMs, serve);
  });
  return {
    [Symbol.dispose]: () => {
      for (const session of sessions) session.destroy();
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

/**
 * A gRPC server over node:http2. Streams get a narrow `send(framed)` that takes a message already framed, so that one
 * buffer can go to many streams; whoever sends watches the answer and stops while the peer does not read.
 */
import http2 from "node:http2";
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Logger, Random } from "@weft/core/world";
import { acceptStream, type BidiCall, type GrpcHandler } from "./calls.ts";

export interface GrpcTls {
  readonly key: string;
  readonly cert: string;
  /** Roots of client certificates. A client may come without one; a certificate that does not verify is refused. */
  readonly ca: string;
}

export interface GrpcServerOptions {
  readonly address: SocketAddress;
  /** Listens on this Unix socket instead; the address only names the server. */
  readonly unixPath?: string;
  /** By path: `/package.Service/Method`. */
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  readonly log: Logger;
  readonly tls?: GrpcTls;
  readonly messageBytesMax?: number;
  readonly keepalive?: { readonly intervalMs: number; readonly timeoutMs: number };
  /** A connection that never made a call within this time is closed. */
  readonly silenceMaxMs?: number;
  /** Of more connections that have not made a call yet, the oldest is closed. */
  readonly silentConnectionsMax?: number;
  /** Connections older than this, ±20 %, are asked to come again. Absent: never. */
  readonly connectionAgeMaxMs?: number;
  readonly random: Random;
}

export interface GrpcServer {
  readonly address: SocketAddress;
  readonly connections: number;
  /** New connections use the new key and roots. */
  setTls(tls: GrpcTls): void;
  /** Ends every call with UNAVAILABLE and every connection, at the latest after the time given. */
  close(timeoutMs?: number): Promise<void>;
}

const messageBytesDefault = 4 * 1024 * 1024;
const keepaliveDefault = { intervalMs: 30_000, timeoutMs: 10_000 };
const silenceDefaultMs = 15_000;
const silentConnectionsDefault = 2_048;
const streamsPerConnectionMax = 128;
/** Bytes waiting on one connection before HTTP/2 refuses more work on it, in MB. */
const sessionMemoryMaxMb = 256;
const handshakeTimeoutMs = 10_000;
const closeTimeoutDefaultMs = 2_000;
const graceAfterGoawayMs = 10_000;
const settings: http2.Settings = {
  enablePush: false,
  maxConcurrentStreams: streamsPerConnectionMax,
  maxHeaderListSize: 65_536,
};

/** Listens. Refuses with WF2010 when the address cannot be had. */
export const openGrpcServer = async (options: GrpcServerOptions): Promise<GrpcServer> => {
  const sessions = new Set<http2.ServerHttp2Session>();
  const admitSilent = createSilenceBound(options);
  const calls = new Set<BidiCall>();
  const common = { settings, maxSessionMemory: sessionMemoryMaxMb };
  const secure = options.tls && http2.createSecureServer({ ...tlsOptions(options.tls), ...common });
  const server: http2.Http2Server | http2.Http2SecureServer = secure ?? http2.createServer(common);
  server.on("session", (session) => {
    watchSession(session, sessions, options);
    admitSilent(session);
  });
  server.on("sessionError", (error) => options.log.debug("gRPC connection failed", { error: error.message }));
  server.on("tlsClientError", (error: Error) => options.log.debug("TLS handshake failed", { error: error.message }));
  const messageBytesMax = options.messageBytesMax ?? messageBytesDefault;
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) =>
    acceptStream(stream, headers, { handlers: options.handlers, log: options.log, messageBytesMax, calls }),
  );
  const address = await listen(server, options.address, options.unixPath);
  return {
    address,
    get connections() {
      return sessions.size;
    },
    setTls: (tls) => secure?.setSecureContext(tlsOptions(tls)),
    close: (timeoutMs = closeTimeoutDefaultMs) =>
      new Promise((resolve) => {
        for (const call of [...calls]) call.end(grpcStatus.unavailable, "the server stops");
        const force = setTimeout(() => {
          for (const session of sessions) session.destroy();
        }, timeoutMs);
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        for (const session of sessions) session.close();
      }),
  };
};

const tlsOptions = ({ key, cert, ca }: GrpcTls): http2.SecureServerOptions => ({
  key,
  cert,
  ca,
  requestCert: true,
  rejectUnauthorized: false,
  minVersion: "TLSv1.2",
  handshakeTimeout: handshakeTimeoutMs,
  ALPNProtocols: ["h2"],
});

const listen = (
  server: http2.Http2Server | http2.Http2SecureServer,
  address: SocketAddress,
  unixPath: string | undefined,
): Promise<SocketAddress> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(address, error)));
    server.listen(unixPath === undefined ? { host: address.host, port: address.port } : { path: unixPath }, () => {
      const bound = server.address();
      server.on("error", () => {});
      resolve(typeof bound === "object" && bound ? { host: address.host, port: bound.port } : address);
    });
  });

/** WF2010: an address that cannot be listened on, with the system's reason. */
export const listenError = (address: SocketAddress, error: NodeJS.ErrnoException): WeftError => {
  const reason =
    error.code === "EADDRINUSE"
      ? "another process has it"
      : error.code === "EADDRNOTAVAIL"
        ? "this machine does not have that address"
        : error.code === "EACCES"
          ? "this user may not"
          : error.message;
  return new WeftError("WF2010", `cannot listen on ${formatAddress(address)}: ${reason}`, { cause: error });
};

const watchSession = (
  session: http2.ServerHttp2Session,
  sessions: Set<http2.ServerHttp2Session>,
  { keepalive = keepaliveDefault, connectionAgeMaxMs, random }: GrpcServerOptions,
): void => {
  sessions.add(session);
  session.on("error", () => {});
  const ping = setInterval(() => {
    if (session.destroyed) return;
    const lost = setTimeout(() => session.destroy(), keepalive.timeoutMs);
    const sent = session.ping((error) => {
      clearTimeout(lost);
      if (error) session.destroy();
    });
    if (!sent) clearTimeout(lost);
  }, keepalive.intervalMs);
  const old =
    connectionAgeMaxMs === undefined
      ? undefined
      : setTimeout(() => retire(session), connectionAgeMaxMs * (0.8 + 0.4 * random()));
  session.once("close", () => {
    clearInterval(ping);
    clearTimeout(old);
    sessions.delete(session);
  });
};

/** Bounds connections that are open and say nothing: in time, and in number, where the newest are kept. */
const createSilenceBound = ({
  silenceMaxMs = silenceDefaultMs,
  silentConnectionsMax = silentConnectionsDefault,
  log,
}: GrpcServerOptions): ((session: http2.ServerHttp2Session) => void) => {
  const silent = new Set<http2.ServerHttp2Session>();
  const drop = (session: http2.ServerHttp2Session, why: string): void => {
    log.debug("a silent gRPC connection is closed", { why });
    session.destroy();
  };
  return (session) => {
    silent.add(session);
    const timer = setTimeout(() => drop(session, "it made no call in time"), silenceMaxMs);
    const speaks = (): void => {
      clearTimeout(timer);
      silent.delete(session);
    };
    session.once("stream", speaks);
    session.once("close", speaks);
    const [oldest] = silent;
    if (silent.size > silentConnectionsMax && oldest) drop(oldest, "there are too many");
  };
};

/** GOAWAY first; streams that stay are ended after the grace. */
const retire = (session: http2.ServerHttp2Session): void => {
  session.close();
  const force = setTimeout(() => session.destroy(), graceAfterGoawayMs);
  session.once("close", () => clearTimeout(force));
};

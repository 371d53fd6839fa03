/**
 * A gRPC server over our own HTTP/2. Streams get a narrow `send(framed)` that takes a message already framed, so that one
 * buffer can go to many streams; whoever sends watches the answer and stops while the peer does not read.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { grpcStatus } from "@weft/core/grpc-status";
import { parseIdentity } from "@weft/core/identity";
import type { Logger, Random } from "@weft/core/world";
import { Http2Workspace } from "@weft/protocols/http2/workspace";
import { adoptSocket, takeHandles } from "../tcp/accept.ts";
import type { Connection } from "../tcp/connection.ts";
import { SocketLoop } from "../tcp/socket-loop.ts";
import { rootServerName } from "../tls/fetch-chain.ts";
import type { TlsPeer } from "../tls/peer.ts";
import { upgradeServer } from "../tls/server-tls.ts";
import { createTlsContext, type TlsContext } from "../tls/tls-material.ts";
import type { BidiCall, GrpcHandler } from "./calls.ts";
import { type ConnectionPeer, GrpcConnection } from "./server-connection.ts";

export interface GrpcTls {
  readonly key: string;
  /** The leaf and what is between it and a root. The roots follow only for who asks for `rootServerName`. */
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
const closeTimeoutDefaultMs = 2_000;
const backlog = 1024;
/** How often connections are looked over for what is due, where no bound is so short that it must be oftener. */
const sweepMaxMs = 1_000;
const sweepMinMs = 5;

/** One accepted connection, from its first byte on. */
interface Accepted {
  readonly connection: Connection;
  readonly retireAtMs: number;
  /** It must have made a call by then. */
  silentUntilMs: number;
  /** Once it is known to speak HTTP/2. */
  served: GrpcConnection | undefined;
  retired: boolean;
}

/** Listens. Refuses with WF2010 when the address cannot be had. */
export const openGrpcServer = async (options: GrpcServerOptions): Promise<GrpcServer> => {
  const accepting = createAccepting(options);
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, accepting.takeSocket);
  const address = await listen(server, options.address, options.unixPath);
  takeHandles(server, accepting.loop, accepting.take);
  return {
    address,
    get connections() {
      return accepting.all.size;
    },
    setTls: accepting.setTls,
    close: (timeoutMs = closeTimeoutDefaultMs) => {
      server.close();
      return accepting.close(timeoutMs);
    },
  };
};

const nowMs = (): number => performance.now();
const wallMs = (): number => Date.now();

const createAccepting = (options: GrpcServerOptions) => {
  const {
    handlers,
    log,
    random,
    messageBytesMax = messageBytesDefault,
    keepalive = keepaliveDefault,
    silenceMaxMs = silenceDefaultMs,
    silentConnectionsMax = silentConnectionsDefault,
    connectionAgeMaxMs = Number.POSITIVE_INFINITY,
  } = options;
  const loop = new SocketLoop();
  const workspace = new Http2Workspace();
  const calls = new Set<BidiCall>();
  const all = new Set<Accepted>();
  /** In the order they came. */
  const silent = new Set<Accepted>();
  let tls = options.tls && contextsOf(options.tls);
  let whenEmpty: (() => void) | undefined;

  const forget = (accepted: Accepted): void => {
    all.delete(accepted);
    silent.delete(accepted);
    if (all.size === 0) whenEmpty?.();
  };
  const dropSilent = (accepted: Accepted, why: string): void => {
    silent.delete(accepted);
    log.debug("a silent gRPC connection is closed", { why });
    accepted.connection.destroy();
  };
  const sweep = (): void => {
    const now = nowMs();
    for (const accepted of silent) {
      if (now < accepted.silentUntilMs) break;
      dropSilent(accepted, "it made no call in time");
    }
    for (const accepted of all) {
      if (!accepted.retired && now >= accepted.retireAtMs) {
        accepted.retired = true;
        accepted.served?.retire();
      }
      accepted.served?.tick(now);
    }
  };
  // After what waits to be read: a process that was busy for long must not take its own silence for its peers'.
  const sweeping = setInterval(
    () => setImmediate(sweep),
    sweepMsOf([keepalive.intervalMs, keepalive.timeoutMs, silenceMaxMs, connectionAgeMaxMs]),
  );
  // An open server is kept by its socket.
  sweeping.unref();

  const serve = (accepted: Accepted, shown: ConnectionPeer | undefined): GrpcConnection => {
    const served = new GrpcConnection(accepted.connection, {
      handlers,
      log,
      messageBytesMax,
      calls,
      workspace,
      nowMs,
      wallMs,
      keepalive,
      shown,
      onFirstCall: () => void silent.delete(accepted),
      onGone: () => forget(accepted),
    });
    accepted.served = served;
    return served;
  };

  const secure = (accepted: Accepted, { context, withRoots }: Contexts): void => {
    const { connection } = accepted;
    const end = (): void => connection.destroy();
    const onClose = (error: Error | undefined): void => {
      log.debug("TLS handshake failed", { error: error?.message ?? "the client ended the connection" });
      forget(accepted);
    };
    const begin = (firstBytes: Buffer): void => {
      connection.handler = { onRead() {}, onPeerEnd: end, onDrain() {}, onClose };
      const contextFor = (name: string): TlsContext | undefined => (name === rootServerName ? withRoots : undefined);
      const parts = { context, contextFor, alpn: "h2", requestCertificate: true, sni: "", firstBytes };
      upgradeServer(connection, parts, (peer) => {
        if (peer.alpn === "h2") serve(accepted, shownBy(connection, peer));
        else connection.destroy();
      });
    };
    connection.handler = { onRead: (bytes) => begin(Buffer.from(bytes)), onPeerEnd: end, onDrain() {}, onClose };
  };

  const take = (connection: Connection): void => {
    const now = nowMs();
    const retireAtMs = now + connectionAgeMaxMs * (0.8 + 0.4 * random());
    const accepted = { connection, retireAtMs, silentUntilMs: now + silenceMaxMs, served: undefined, retired: false };
    all.add(accepted);
    silent.add(accepted);
    const [oldest] = silent;
    if (silent.size > silentConnectionsMax && oldest) dropSilent(oldest, "there are too many");
    const address = connection.remoteHost;
    if (tls) secure(accepted, tls);
    else serve(accepted, { peer: { address, secure: false, spiffe: undefined }, validToMs: Number.POSITIVE_INFINITY });
    connection.resume();
  };

  return {
    all,
    loop,
    take,
    takeSocket: (socket: Socket): void => {
      const connection = adoptSocket(loop, socket);
      if (connection) take(connection);
    },
    setTls: (renewed: GrpcTls): void => {
      tls = contextsOf(renewed);
    },
    close: (timeoutMs: number): Promise<void> => {
      for (const call of [...calls]) call.end(grpcStatus.unavailable, "the server stops");
      for (const { served, connection } of all) {
        if (served) served.retire();
        else connection.destroy();
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const force = setTimeout(() => {
        for (const { connection } of all) connection.destroy();
      }, timeoutMs);
      whenEmpty = () => {
        clearInterval(sweeping);
        clearTimeout(force);
        resolve();
      };
      if (all.size === 0) whenEmpty();
      return promise;
    },
  };
};

const sweepMsOf = (boundsMs: readonly number[]): number =>
  Math.max(sweepMinMs, Math.min(sweepMaxMs, ...boundsMs.map((bound) => bound / 4)));

interface Contexts {
  readonly context: TlsContext;
  /** For a client that has to be told the roots. */
  readonly withRoots: TlsContext;
}

const contextsOf = (tls: GrpcTls): Contexts => ({
  context: contextOf(tls),
  withRoots: contextOf({ ...tls, cert: `${tls.cert}${tls.ca}` }),
});

const contextOf = ({ key, cert, ca }: GrpcTls): TlsContext =>
  createTlsContext({
    keyPem: key,
    certificatePem: cert,
    rootsPem: ca,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    ciphers: [],
  });

/** `undefined` when the peer shows a certificate that does not verify. */
const shownBy = (connection: Connection, peer: TlsPeer): ConnectionPeer | undefined => {
  const address = connection.remoteHost;
  const anonymous = { address, secure: true, spiffe: undefined };
  if (!peer.hasCertificate) return { peer: anonymous, validToMs: Number.POSITIVE_INFINITY };
  if (!peer.verified) return undefined;
  const certificate = (connection.socket as TLSSocket).getPeerX509Certificate();
  if (!certificate) return undefined;
  return {
    peer: { address, secure: true, spiffe: spiffeOf(peer.names.uris) },
    validToMs: Date.parse(certificate.validTo),
  };
};

/** The one SPIFFE URI among a certificate's; more than one URI is none. */
export const spiffeOf = (uris: readonly string[]): string | undefined => {
  const [uri] = uris;
  return uris.length === 1 && uri !== undefined && parseIdentity(uri) ? uri : undefined;
};

const listen = (server: Server, address: SocketAddress, unixPath: string | undefined): Promise<SocketAddress> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(address, error)));
    const where = unixPath === undefined ? { host: address.host, port: address.port } : { path: unixPath };
    server.listen({ ...where, backlog }, () => {
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

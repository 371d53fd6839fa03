import { closeSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { AcceptBursts } from "./accept-bursts.ts";
import { Connection } from "./connection.ts";
import { acceptWaiting, descriptorOf, makeTransparent } from "./libc.ts";
import { backlog } from "./limits.ts";
import { readOption } from "./read-option.ts";
import type { SocketLoop } from "./socket-loop.ts";

export interface TcpListener {
  /** The bound address; rejects with WF5001 (in use), WF5002 (not ours), WF5003 (not allowed) or WF5004. */
  readonly bound: Promise<SocketAddress>;
  /** Stops accepting. Accepted connections are their owner's. */
  close(): void;
  /** The listening sockets, to be handed to another process; none before they are bound and after `close`. */
  readonly descriptors: readonly number[];
}

export interface ListenOptions {
  /** Whose socket it is, for whoever keeps ports apart. */
  readonly name?: string;
  readonly loop: SocketLoop;
  readonly address: SocketAddress;
  /** Several threads or processes may bind the same port and the kernel spreads connections. */
  readonly reusePort?: boolean;
  /** `::` takes IPv4 connections too unless this is set. */
  readonly ipv6Only?: boolean;
  /** Takes connections to addresses that are not this machine's, which the kernel is told to bring here. */
  readonly transparent?: boolean;
  /** A socket that listens already, from another process: nothing is bound. */
  readonly descriptor?: number | undefined;
}

export type OpenListener = (options: ListenOptions, onConnection: (connection: Connection) => void) => TcpListener;

const familyOf = (server: Server): "IPv4" | "IPv6" => {
  const at = server.address();
  return at !== null && typeof at === "object" && at.family === "IPv6" ? "IPv6" : "IPv4";
};

/** What must be so of a listening socket before it may accept; throws where it cannot be. */
const prepare = (server: Server, { address, transparent = false }: ListenOptions): void => {
  if (!transparent) return;
  const problem = makeTransparent(descriptorOf(server) ?? -1, familyOf(server));
  if (problem === undefined) return;
  throw new WeftError("WF5005", `cannot listen transparently on ${formatAddress(address)}: ${problem}`, {
    next: "give the sidecar CAP_NET_ADMIN, or intercept with --mode redirect",
  });
};

/** Binds and accepts. The callback must set the connection's handler at once; reading starts after it. */
export const listenTcp = (options: ListenOptions, onConnection: (connection: Connection) => void): TcpListener => {
  const { loop, address, reusePort = false, ipv6Only = false } = options;
  const bursts = new AcceptBursts();
  const take = (connection: Connection | undefined): void => {
    if (connection === undefined) return;
    onConnection(connection);
    connection.resume();
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    take(adoptSocket(loop, socket));
    for (let more = bursts.accepted(); more > 0; more--) {
      // Whoever takes a connection may close the listener.
      const listening = descriptorOf(server);
      const descriptor = listening === undefined ? undefined : acceptWaiting(listening);
      if (descriptor === undefined) break;
      take(adoptDescriptor(loop, descriptor));
    }
  });
  const bound = new Promise<SocketAddress>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(bindError(address, error)));
    const where =
      options.descriptor === undefined
        ? { host: address.host, port: address.port, backlog, reusePort, ipv6Only }
        : { fd: options.descriptor, backlog };
    server.listen(where, () => {
      try {
        prepare(server, options);
        resolve(boundAddress(server, address));
      } catch (error) {
        server.close();
        reject(error);
      }
    });
  });
  bound.then(
    // Errors of a bound listener (EMFILE on accept) concern the connection that did not come about.
    () => server.on("error", () => {}),
    () => {},
  );
  return {
    bound,
    close: () => void server.close(),
    get descriptors() {
      const descriptor = descriptorOf(server);
      return descriptor === undefined ? [] : [descriptor];
    },
  };
};

interface AcceptedHandle {
  readonly readStop?: () => number;
}
type HandleOwner = { _handle: AcceptedHandle | null };

/**
 * The connection of a socket that a server with `pauseOnConnect` accepted; `undefined` when it is closed already.
 * `net.createServer` has no `onread` for accepted sockets; a new socket around the accepted handle has. The handle is
 * not documented: where it is missing, 'data' events serve.
 */
export const adoptSocket = (loop: SocketLoop, accepted: Socket): Connection | undefined => {
  const owner = accepted as unknown as HandleOwner;
  const handle = owner._handle;
  if (!loop.useReadBuffer || handle === null || handle === undefined) {
    return accepted.destroyed ? undefined : readByData(loop, accepted);
  }
  owner._handle = null;
  accepted.destroy();
  return wrap(loop, { handle });
};

interface ClientHandle extends AcceptedHandle {
  readonly setNoDelay?: (on: boolean) => number;
}
type OnHandle = (this: unknown, error: number, handle: ClientHandle | undefined) => void;

/**
 * Gives what a listening server accepts to `take` without a socket of the server's own, which would be thrown away. False
 * where that cannot be: the server's 'connection' listeners are called then.
 */
export const takeHandles = (server: Server, loop: SocketLoop, take: (connection: Connection) => void): boolean => {
  const listening = (server as unknown as { readonly _handle?: { onconnection?: OnHandle } | null })._handle;
  const byServer = listening?.onconnection;
  if (!loop.useReadBuffer || !listening || typeof byServer !== "function") return false;
  listening.onconnection = function (error, handle) {
    if (handle === undefined || error) {
      byServer.call(this, error, handle);
      return;
    }
    handle.setNoDelay?.(true);
    take(wrap(loop, { handle }));
  };
  return true;
};

/** The same around a descriptor. */
const adoptDescriptor = (loop: SocketLoop, fd: number): Connection | undefined => {
  try {
    const connection = wrap(loop, { fd });
    connection.socket.setNoDelay(true);
    return connection;
  } catch {
    closeSync(fd);
    return undefined;
  }
};

const wrap = (loop: SocketLoop, around: { readonly handle: AcceptedHandle } | { readonly fd: number }): Connection => {
  const open = (more: object): Socket => {
    // What is not documented is not in the type.
    const options: object = { ...around, allowHalfOpen: true, pauseOnCreate: true, ...more };
    return new Socket(options);
  };
  if (!loop.useReadBuffer) return readByData(loop, open({}));
  let connection: Connection | undefined;
  connection = new Connection(loop, open({ onread: readOption(loop, () => connection) }));
  return connection;
};

/** The connection of a paused socket that reads by its 'data' events: no bytes are lost that it was given back. */
export const readByData = (loop: SocketLoop, socket: Socket): Connection => {
  const connection = new Connection(loop, socket);
  socket.on("data", (bytes: Buffer) => {
    if (connection.socket === socket) connection.received(bytes);
  });
  socket.pause();
  return connection;
};

const boundAddress = (server: Server, asked: SocketAddress): SocketAddress => {
  const at = server.address();
  return at === null || typeof at === "string" ? asked : { host: at.address, port: at.port };
};

/** Why a socket could not be bound, in words for people. */
export const bindError = (address: SocketAddress, error: NodeJS.ErrnoException): WeftError => {
  const where = formatAddress(address);
  switch (error.code) {
    case "EADDRINUSE":
      return new WeftError("WF5001", `cannot listen on ${where}: the port is in use`, {
        next: "stop what listens there or choose another port",
        cause: error,
      });
    case "EADDRNOTAVAIL":
      return new WeftError("WF5002", `cannot listen on ${where}: this machine has no such address`, { cause: error });
    case "EACCES":
      return new WeftError("WF5003", `cannot listen on ${where}: not allowed`, {
        next: "choose a port above 1023",
        cause: error,
      });
    default:
      return new WeftError("WF5004", `cannot listen on ${where}: ${error.message}`, { cause: error });
  }
};

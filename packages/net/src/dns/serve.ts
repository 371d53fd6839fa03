/** Sockets that take DNS questions over UDP and TCP at one address; what the bytes mean is the caller's business. */
import { createSocket } from "node:dgram";
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import type { SocketAddress } from "@weft/core/address";
import type { SetTimer } from "@weft/core/world";
import { bindError } from "../tcp/accept.ts";

export interface DnsQuery {
  readonly bytes: Buffer;
  readonly from: SocketAddress;
  readonly tcp: boolean;
}

export interface ServeDnsOptions {
  readonly address: SocketAddress;
  /** Another process of the same user may have the address too, while it hands over to this one. */
  readonly reusePort: boolean;
  /** It is shared only once it was had alone: an address that somebody has already is refused. */
  readonly aloneFirst?: boolean;
  readonly setTimer: SetTimer;
  /** The answer's bytes; `undefined` for none, and a rejection is as good as that. */
  readonly answer: (query: DnsQuery) => Promise<Buffer | undefined>;
}

export interface DnsSockets {
  /** Both have the same port, also where any was asked for; rejects when one cannot have it. */
  readonly bound: Promise<SocketAddress>;
  close(): void;
}

/** Connections at once; more are closed as they come. */
export const dnsConnectionsMax = 128;
/** A connection that says nothing for so long is closed (RFC 7766 §6.2.3). */
export const dnsIdleMs = 10_000;
/** Questions of one connection that are not answered yet; it is not read further meanwhile. */
export const dnsPipelinedMax = 32;
/** Answers of one connection that its client does not read. */
export const dnsUnreadBytesMax = 262_144;
/** Ports tried until one is free for UDP and TCP, where any will do. */
const portTriesMax = 16;
/** Datagrams that may wait while this thread is busy; the system may give less. Beyond it questions are lost. */
const waitingBytes = 1_048_576;

const noBytes = Buffer.alloc(0);
const noAnswer = (): undefined => undefined;

class DnsConnection {
  private readonly socket: Socket;
  private readonly options: ServeDnsOptions;
  private held: Buffer = noBytes;
  private underWay = 0;
  private ended = false;
  private timer: Disposable;

  constructor(socket: Socket, options: ServeDnsOptions) {
    this.socket = socket;
    this.options = options;
    this.timer = options.setTimer(() => socket.destroy(), dnsIdleMs);
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      this.held = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
      this.read();
    });
    socket.on("end", () => {
      this.ended = true;
      this.finish();
    });
    socket.on("close", () => this.timer[Symbol.dispose]());
  }

  /** Takes the whole messages that are there, as many as may be under way; the rest waits, and so does the socket. */
  private read(): void {
    while (this.underWay < dnsPipelinedMax && this.held.length >= 2) {
      const end = 2 + this.held.readUInt16BE(0);
      if (this.held.length < end) break;
      const bytes = Buffer.from(this.held.subarray(2, end));
      this.held = this.held.subarray(end);
      void this.answer(bytes);
    }
    if (this.underWay >= dnsPipelinedMax) this.socket.pause();
  }

  private async answer(bytes: Buffer): Promise<void> {
    const { socket, options } = this;
    this.underWay++;
    this.timer[Symbol.dispose]();
    const from = { host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
    const reply = await options.answer({ bytes, from, tcp: true }).catch(noAnswer);
    this.underWay--;
    if (socket.destroyed) return;
    if (reply === undefined || socket.writableLength > dnsUnreadBytesMax) {
      socket.destroy();
      return;
    }
    const framed = Buffer.allocUnsafe(2 + reply.length);
    framed.writeUInt16BE(reply.length);
    reply.copy(framed, 2);
    socket.write(framed);
    if (this.underWay === 0) {
      this.timer[Symbol.dispose]();
      this.timer = options.setTimer(() => socket.destroy(), dnsIdleMs);
    }
    this.read();
    if (this.underWay < dnsPipelinedMax) socket.resume();
    this.finish();
  }

  private finish(): void {
    if (this.ended && this.underWay === 0) this.socket.end();
  }
}

const listenTcp = (server: Server, { host, port }: SocketAddress, reusePort: boolean): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort, ipv6Only: true, backlog: dnsConnectionsMax }, () => {
      server.removeListener("error", reject);
      const at = server.address();
      resolve(typeof at === "object" && at !== null ? at.port : port);
    });
  });

/** Takes questions until it is closed. A datagram from nowhere one could answer to is not answered. */
export const serveDns = (options: ServeDnsOptions): DnsSockets => {
  const { address, reusePort } = options;
  const connections = new Set<Socket>();
  const open = new DisposableStack();
  let closed = false;
  const openUdp = (port: number, reusePort: boolean): Promise<Disposable> =>
    new Promise((resolve, reject) => {
      // What is for IPv6 alone cannot be asked of an IPv4 socket.
      const family = isIPv6(address.host) ? ({ type: "udp6", ipv6Only: true } as const) : ({ type: "udp4" } as const);
      const socket = createSocket({ ...family, reusePort });
      let gone = false;
      const close = (): void => {
        gone = true;
        socket.close();
      };
      socket.once("error", (error) => {
        close();
        reject(error);
      });
      socket.on("message", async (bytes, from) => {
        if (from.port === 0) return;
        const query = { bytes, from: { host: from.address, port: from.port }, tcp: false };
        const reply = await options.answer(query).catch(noAnswer);
        // Whoever asked may be gone, and sending to nobody is nobody's failure.
        if (reply !== undefined && !gone) socket.send(reply, from.port, from.address, () => {});
      });
      socket.bind({ port, address: address.host, exclusive: true }, () => {
        socket.removeAllListeners("error");
        socket.on("error", () => {});
        try {
          socket.setRecvBufferSize(waitingBytes);
        } catch {
          // A system that refuses so much gives what it gives to everybody.
        }
        resolve({ [Symbol.dispose]: close });
      });
    });
  const openTcp = async (reusePort: boolean): Promise<{ readonly server: Server; readonly port: number }> => {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      if (closed || connections.size >= dnsConnectionsMax) {
        socket.destroy();
        return;
      }
      connections.add(socket);
      socket.once("close", () => connections.delete(socket));
      new DnsConnection(socket, options);
    });
    const port = await listenTcp(server, address, reusePort);
    server.on("error", () => {});
    return { server, port };
  };
  const tryAlone = async (): Promise<void> => {
    const { server, port } = await openTcp(false);
    try {
      (await openUdp(port, false))[Symbol.dispose]();
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  };
  /** Both sockets at one port. Who closes meanwhile has none of them left open. */
  const openPair = async (): Promise<number> => {
    const pair = new DisposableStack();
    try {
      const { server, port } = await openTcp(reusePort);
      pair.defer(() => void server.close());
      // A port that the system chose for TCP may be somebody's for UDP who shares it too.
      if (reusePort && address.port === 0) (await openUdp(port, false))[Symbol.dispose]();
      pair.use(await openUdp(port, reusePort));
      if (closed) throw new Error("closed before it was open");
      open.use(pair.move());
      return port;
    } finally {
      pair.dispose();
    }
  };
  const openBoth = async (): Promise<SocketAddress> => {
    if (reusePort && options.aloneFirst === true && address.port !== 0) await tryAlone();
    for (let tries = 1; ; tries++) {
      try {
        return { host: address.host, port: await openPair() };
      } catch (error) {
        // The port TCP was given may be somebody else's for UDP.
        if (closed || address.port !== 0 || tries >= portTriesMax) throw error;
      }
    }
  };
  return {
    bound: openBoth().catch((error: NodeJS.ErrnoException) => Promise.reject(bindError(address, error))),
    close: () => {
      if (closed) return;
      closed = true;
      open.dispose();
      for (const socket of connections) socket.destroy();
    },
  };
};

/** One question to one name server, over UDP or TCP; what the bytes mean is the caller's business. */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { SocketAddress } from "@weft/core/address";
import type { SetTimer } from "@weft/core/world";

export interface DnsExchange {
  readonly server: SocketAddress;
  readonly message: Uint8Array;
  readonly timeoutMs: number;
  /** Whether this is the answer; datagrams that are not are passed over, and over TCP there is no other. */
  readonly accept: (reply: Buffer) => boolean;
}

/** Rejects when the server cannot be reached, does not answer in time or talks nonsense. */
export type AskDns = (exchange: DnsExchange) => Promise<Buffer>;

/** A server that sends more datagrams than this for one question has no answer to it. */
const datagramsMax = 32;

/** Each question comes from a port of its own, which whoever forges answers has to guess. */
export const createUdpAsk =
  (setTimer: SetTimer): AskDns =>
  ({ server, message, timeoutMs, accept }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const socket = createSocket(isIPv6(server.host) ? "udp6" : "udp4");
    const timer = setTimer(() => reject(new Error("timed out")), timeoutMs);
    let datagrams = 0;
    socket.on("error", reject);
    socket.on("message", (reply) => {
      if (accept(reply)) resolve(reply);
      else if (++datagrams >= datagramsMax) reject(new Error("no answer among what came"));
    });
    socket.on("connect", () => {
      socket.send(message, (error) => {
        if (error) reject(error);
      });
    });
    socket.connect(server.port, server.host);
    return promise.finally(() => {
      timer[Symbol.dispose]();
      socket.close();
    });
  };

export const createTcpAsk =
  (setTimer: SetTimer): AskDns =>
  ({ server, message, timeoutMs, accept }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const socket = connect({ host: server.host, port: server.port, noDelay: true });
    const timer = setTimer(() => reject(new Error("timed out")), timeoutMs);
    let held = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed without an answer")));
    socket.on("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
    });
    socket.on("data", (bytes: Buffer) => {
      held = Buffer.concat([held, bytes]);
      if (held.length < 2) return;
      const length = held.readUInt16BE(0);
      if (held.length < 2 + length) return;
      const reply = held.subarray(2, 2 + length);
      if (accept(reply)) resolve(reply);
      else reject(new Error("not the answer"));
    });
    return promise.finally(() => {
      timer[Symbol.dispose]();
      socket.destroy();
    });
  };

import { chmodSync, lstatSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { WeftError } from "@weft/core/error";
import type { SetTimer } from "@weft/core/world";
import { type Handover, type HandoverEffect, type HandoverEvent, offered, stepHandover } from "./handover.ts";
import { descriptorOf } from "./libc.ts";
import {
  acknowledgement,
  closeSockets,
  confirmation,
  distinctSockets,
  encodeFrame,
  frameBytesMax,
  nameBytesMax,
  needCalls,
  type PassedSocket,
  socketsMax,
} from "./pass-sockets.ts";
import { descriptorsMax, type UnixCalls } from "./unix-messages.ts";

export interface SocketOffer {
  /** Looked up when somebody asks. The descriptors are duplicates, closed once they are sent. */
  readonly sockets: () => Promise<readonly PassedSocket[]>;
  /** Another process accepts on all of them now: this one may stop accepting. Comes once at most. */
  readonly onTaken: () => void;
  /** Why a process that asked did not get them; the offer stands. */
  readonly onRefused: (reason: string) => void;
  /** Who asked has so long to say that it accepts. */
  readonly readyMs: number;
  readonly nowMs: () => number;
  readonly setTimer: SetTimer;
}

/**
 * Offers the listening sockets of this process at a Unix socket (0600) to a process of the same user. They stay open here
 * too, so no connection is refused at any moment: both accept until this one stops. Rejects where the path cannot be had.
 */
export const offerSockets = async (path: string, offer: SocketOffer): Promise<Disposable> => {
  const server = createServer({ pauseOnConnect: true });
  const desk = new Desk(server, offer);
  server.on("connection", (socket: Socket) => desk.visit(socket));
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotOffer(path, error)));
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  server.on("error", () => {});
  // An offer is no reason to stay.
  server.unref();
  return { [Symbol.dispose]: () => desk.withdraw() };
};

const cannotOffer = (path: string, error: Error): WeftError =>
  new WeftError("WF5006", `listening sockets cannot be offered at ${path}: ${error.message}`, { cause: error });

class Desk {
  private readonly server: Server;
  private readonly offer: SocketOffer;
  private state: Handover = offered;
  /** Who has the sockets, or is about to. */
  private visitor: Socket | undefined;
  private timer: Disposable | undefined;

  constructor(server: Server, offer: SocketOffer) {
    this.server = server;
    this.offer = offer;
  }

  visit(socket: Socket): void {
    socket.on("error", () => {});
    const effect = this.step({ kind: "ask" });
    if (effect.kind === "send") {
      this.visitor = socket;
      void this.serve(socket);
      return;
    }
    socket.destroy();
    if (effect.kind === "refuse") this.offer.onRefused(effect.reason);
  }
  withdraw(): void {
    this.handle({ kind: "withdraw" });
  }

  private async serve(socket: Socket): Promise<void> {
    const { offer } = this;
    const tell = (event: HandoverEvent): void => {
      if (this.visitor === socket) this.handle(event);
    };
    this.timer = offer.setTimer(() => tell({ kind: "time" }), offer.readyMs);
    socket.on("close", () => tell({ kind: "gone" }));
    let answer = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      answer = Buffer.concat([answer, bytes]);
      if (answer.length >= confirmation.length) tell({ kind: "answer", ours: answer.equals(confirmation) });
    });
    try {
      const calls = needCalls();
      checkPeer(calls, socket);
      const sockets = distinctSockets(await offer.sockets());
      try {
        sendAll(calls, socket, sockets);
      } finally {
        closeSockets(sockets);
      }
      socket.resume();
    } catch (error) {
      tell({ kind: "unsent", reason: error instanceof Error ? error.message : String(error) });
    }
  }

  private handle(event: HandoverEvent): void {
    const effect = this.step(event);
    switch (effect.kind) {
      case "giveUp":
        this.dismiss()?.destroy();
        this.offer.onRefused(effect.reason);
        return;
      case "handOver":
        // The path is free before the other one hears of it: it offers there next.
        this.server.close();
        this.dismiss()?.end(acknowledgement);
        this.offer.onTaken();
        return;
      case "stop":
        this.server.close();
        this.dismiss()?.destroy();
        return;
      default:
    }
  }
  private dismiss(): Socket | undefined {
    const { visitor } = this;
    this.visitor = undefined;
    this.timer?.[Symbol.dispose]();
    this.timer = undefined;
    return visitor;
  }
  private step(event: HandoverEvent): HandoverEffect {
    const { nowMs, readyMs } = this.offer;
    const { state, effect } = stepHandover(this.state, event, nowMs(), readyMs);
    this.state = state;
    return effect;
  }
}

const checkPeer = (calls: UnixCalls, socket: Socket): void => {
  const uid = calls.peerUid(need(socket));
  if (uid === undefined || uid !== process.getuid?.()) throw new Error(`user ${uid} is not this process's user`);
};

const need = (socket: Socket): number => {
  const fd = descriptorOf(socket);
  if (fd === undefined) throw new Error("the process that asked has gone");
  return fd;
};

const sendAll = (calls: UnixCalls, socket: Socket, sockets: readonly PassedSocket[]): void => {
  if (sockets.length > socketsMax) throw new Error(`there are ${sockets.length} sockets; ${socketsMax} is the most`);
  const long = sockets.find(({ name }) => Buffer.byteLength(name) > nameBytesMax);
  if (long !== undefined) throw new Error(`the name ${long.name.slice(0, 40)}… is too long`);
  let at = 0;
  do {
    const part = frameFrom(sockets, at);
    at += part.length;
    calls.send(
      need(socket),
      encodeFrame(part, at >= sockets.length),
      part.map(({ descriptor }) => descriptor),
    );
  } while (at < sockets.length);
};

/** As many as one message takes. */
const frameFrom = (sockets: readonly PassedSocket[], start: number): readonly PassedSocket[] => {
  let end = start;
  let bytes = 64;
  while (end < sockets.length && end - start < descriptorsMax) {
    bytes += 6 * (sockets[end]?.name.length ?? 0) + 3;
    if (bytes > frameBytesMax && end > start) break;
    end++;
  }
  return sockets.slice(start, end);
};

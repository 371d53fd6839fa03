import { closeSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { WeftError } from "@weft/core/error";
import { descriptorOf } from "./libc.ts";
import { descriptorsMax, loadUnixCalls, type UnixCalls } from "./unix-messages.ts";

/** A listening socket under a name that both processes know it by; several may have the same name. */
export interface PassedSocket {
  readonly name: string;
  readonly descriptor: number;
}

export interface SocketOffer {
  /** Looked up when somebody asks. */
  readonly sockets: () => readonly PassedSocket[];
  /** Another process accepts on all of them now: this one may stop accepting. Comes once at most. */
  readonly onTaken: () => void;
  /** Why a process that asked did not get them; the offer stands. */
  readonly onRefused: (reason: string) => void;
}

/** More sockets than this are not passed on. */
export const socketsMax = 4096;
const nameBytesMax = 512;
const frameBytesMax = 32 * 1024;
const lengthBytes = 4;
const confirmation = Buffer.from("taken");

interface Frame {
  readonly names: readonly string[];
  readonly last: boolean;
}

const needCalls = (): UnixCalls => {
  const calls = loadUnixCalls();
  if (calls === undefined) {
    throw new WeftError("WF5006", "listening sockets cannot be passed on here: the C library cannot be called");
  }
  return calls;
};

/**
 * Offers the listening sockets of this process at a Unix socket to a process of the same user. They stay open here too,
 * so no connection is refused at any moment: both accept until this one stops. Rejects where the path cannot be taken.
 */
export const offerSockets = async (path: string, offer: SocketOffer): Promise<Disposable> => {
  const calls = needCalls();
  let over = false;
  const asking = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const refuse = (reason: string): void => {
      socket.destroy();
      if (!over) offer.onRefused(reason);
    };
    socket.on("error", () => {});
    // One at a time: who asks first either takes them or goes.
    if (over || asking.size > 0) return refuse("another process is taking the sockets");
    asking.add(socket);
    let answer = Buffer.alloc(0);
    socket.on("close", () => {
      asking.delete(socket);
      if (!over) offer.onRefused("the process that asked went without taking the sockets");
    });
    socket.on("data", (bytes: Buffer) => {
      answer = Buffer.concat([answer, bytes]);
      if (answer.length < confirmation.length || over) return;
      if (!answer.equals(confirmation)) return refuse("the answer is not one of ours");
      over = true;
      socket.destroy();
      server.close();
      offer.onTaken();
    });
    const problem = sendAll(calls, socket, offer.sockets());
    if (problem !== undefined) {
      socket.removeAllListeners("close");
      asking.delete(socket);
      return refuse(problem);
    }
    socket.resume();
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return {
    [Symbol.dispose]: () => {
      over = true;
      server.close();
      for (const socket of asking) socket.destroy();
    },
  };
};

/** The reason when it could not be done. */
const sendAll = (calls: UnixCalls, socket: Socket, sockets: readonly PassedSocket[]): string | undefined => {
  const fd = descriptorOf(socket);
  if (fd === undefined) return "the process that asked has gone";
  const uid = calls.peerUid(fd);
  if (uid === undefined || uid !== process.getuid?.()) return `user ${uid} is not this process's user`;
  if (sockets.length > socketsMax) return `there are ${sockets.length} sockets; ${socketsMax} is the most`;
  const long = sockets.find(({ name }) => Buffer.byteLength(name) > nameBytesMax);
  if (long !== undefined) return `the name ${long.name.slice(0, 40)}… is too long`;
  try {
    let at = 0;
    do {
      const part = frameFrom(sockets, at);
      at += part.length;
      calls.send(
        fd,
        encodeFrame(part, at >= sockets.length),
        part.map(({ descriptor }) => descriptor),
      );
    } while (at < sockets.length);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return undefined;
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

const encodeFrame = (part: readonly PassedSocket[], last: boolean): Buffer => {
  const frame: Frame = { names: part.map(({ name }) => name), last };
  const text = Buffer.from(JSON.stringify(frame));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
};

const parseFrame = (bytes: Buffer): Frame => {
  const value = JSON.parse(bytes.toString("utf8")) as Partial<Frame> | null;
  const { names, last } = value ?? {};
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string") || typeof last !== "boolean") {
    throw new Error("what came is not a list of sockets");
  }
  return { names, last };
};

/** Sockets that came from another process. What is not claimed is closed on disposal: nobody would accept there. */
export interface TakenSockets extends Disposable {
  /** Names that are there to be claimed, one for each socket. */
  readonly names: () => readonly string[];
  /** A socket of that name, to be given to `listenTcp`, which owns it then. Each is given once. */
  readonly claim: (name: string) => number | undefined;
  /** Tells the other process that this one accepts now. */
  readonly confirm: () => void;
}

const takeTimeoutMs = 5_000;

/** Asks the process that offers its listening sockets at the path. Rejects with WF5006 and leaves nothing open. */
export const takeSockets = async (path: string, timeoutMs = takeTimeoutMs): Promise<TakenSockets> => {
  const calls = needCalls();
  const held: PassedSocket[] = [];
  let fd: number | undefined;
  const release = (): void => {
    for (const { descriptor } of held.splice(0)) closeSync(descriptor);
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  };
  try {
    fd = calls.connect(path, timeoutMs);
    if (calls.peerUid(fd) !== process.getuid?.()) throw new Error("who offers them is another user");
    await receiveAll(calls, fd, held);
  } catch (error) {
    release();
    const reason = error instanceof Error ? error.message : String(error);
    throw new WeftError("WF5006", `no listening sockets came from ${path}: ${reason}`, {
      next: "start without --takeover, or check that the running process is of the same user and version",
      cause: error,
    });
  }
  return {
    names: () => held.map(({ name }) => name),
    claim: (name) => {
      const at = held.findIndex((socket) => socket.name === name);
      return at < 0 ? undefined : held.splice(at, 1)[0]?.descriptor;
    },
    confirm: () => {
      if (fd !== undefined) calls.send(fd, confirmation, []);
    },
    [Symbol.dispose]: release,
  };
};

const receiveAll = async (calls: UnixCalls, fd: number, held: PassedSocket[]): Promise<void> => {
  for (;;) {
    let bytes: Buffer = Buffer.alloc(0);
    const came: number[] = [];
    try {
      while (bytes.length < lengthBytes || bytes.length < lengthBytes + bytes.readUInt32BE(0)) {
        const wanted = bytes.length < lengthBytes ? lengthBytes : lengthBytes + bytes.readUInt32BE(0);
        if (wanted > lengthBytes + frameBytesMax) throw new Error("what came is too long");
        const message = await calls.receive(fd, wanted - bytes.length);
        came.push(...message.descriptors);
        if (message.bytes.length === 0) throw new Error("the other process ended the conversation");
        bytes = Buffer.concat([bytes, message.bytes]);
      }
      const { names, last } = parseFrame(bytes.subarray(lengthBytes));
      if (names.length !== came.length) throw new Error(`${names.length} names came with ${came.length} sockets`);
      if (held.length + came.length > socketsMax) throw new Error("too many sockets came");
      if (!came.every(calls.isListening)) throw new Error("what came does not listen");
      for (const [index, descriptor] of came.splice(0).entries()) {
        held.push({ name: names[index] ?? "", descriptor });
      }
      if (last) return;
    } finally {
      for (const descriptor of came) closeSync(descriptor);
    }
  }
};

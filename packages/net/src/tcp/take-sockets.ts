import { closeSync } from "node:fs";
import { WeftError } from "@weft/core/error";
import {
  acknowledgement,
  closeSockets,
  confirmation,
  frameBytesMax,
  lengthBytes,
  needCalls,
  type PassedSocket,
  parseFrame,
  socketsMax,
} from "./pass-sockets.ts";
import type { UnixCalls } from "./unix-messages.ts";

/**
 * How the other process took it: it stops; it had ended before, so there is nobody but us; or it waits no more and goes
 * on serving, so that we must not.
 */
export type Confirmed = "stops" | "ended" | "goes on";

/** Sockets that came from another process. What is not claimed is closed on disposal: nobody would accept there. */
export interface TakenSockets extends Disposable {
  /** Names that are there to be claimed, one for each socket. */
  readonly names: () => readonly string[];
  /** A socket of that name, the caller's from then on. Each is given once. */
  readonly claim: (name: string) => number | undefined;
  /** Tells the other process that this one is ready to accept, and waits for its answer. */
  readonly confirm: () => Promise<Confirmed>;
}

const takeTimeoutMs = 5_000;
/** errno of a path where nobody listens: no such file, connection refused. */
const nobodyThere: ReadonlySet<unknown> = new Set([2, 111]);

/**
 * Asks the process that offers its listening sockets at the path. Rejects and leaves nothing open: with WF5007 where
 * nobody offers any, with WF5006 where they did not come.
 */
export const takeSockets = async (path: string, timeoutMs = takeTimeoutMs): Promise<TakenSockets> => {
  const calls = needCalls();
  const held: PassedSocket[] = [];
  let fd: number | undefined;
  const hangUp = (): void => {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  };
  const release = (): void => {
    closeSockets(held.splice(0));
    hangUp();
  };
  try {
    fd = calls.connect(path, timeoutMs);
    if (calls.peerUid(fd) !== process.getuid?.()) throw new Error("who offers them is another user");
    await receiveAll(calls, fd, held);
  } catch (error) {
    release();
    throw notTaken(path, error);
  }
  return {
    names: () => held.map(({ name }) => name),
    claim: (name) => {
      const at = held.findIndex((socket) => socket.name === name);
      return at < 0 ? undefined : held.splice(at, 1)[0]?.descriptor;
    },
    confirm: async () => {
      if (fd === undefined) return "ended";
      try {
        if (await isAcknowledged(calls, fd)) return "stops";
      } finally {
        hangUp();
      }
      return isOffered(calls, path, timeoutMs) ? "goes on" : "ended";
    },
    [Symbol.dispose]: release,
  };
};

const notTaken = (path: string, error: unknown): WeftError => {
  if (nobodyThere.has((error as { readonly errno?: unknown } | undefined)?.errno)) {
    return new WeftError("WF5007", `nobody offers listening sockets at ${path}`, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new WeftError("WF5006", `no listening sockets came from ${path}: ${reason}`, {
    next: "start without --takeover, or check that the running process is of the same user and version",
    cause: error,
  });
};

const isAcknowledged = async (calls: UnixCalls, fd: number): Promise<boolean> => {
  try {
    calls.send(fd, confirmation, []);
    let said: Buffer = Buffer.alloc(0);
    while (said.length < acknowledgement.length) {
      const { bytes } = await calls.receive(fd, acknowledgement.length - said.length);
      if (bytes.length === 0) return false;
      said = Buffer.concat([said, bytes]);
    }
    return said.equals(acknowledgement);
  } catch {
    return false;
  }
};

const isOffered = (calls: UnixCalls, path: string, timeoutMs: number): boolean => {
  try {
    closeSync(calls.connect(path, timeoutMs));
    return true;
  } catch {
    return false;
  }
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

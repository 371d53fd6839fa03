/**
 * Writes straight to a socket's handle, past the stream machinery above it. The handle is not documented: how it is
 * called was found out below with one that only listens, and where it is called otherwise there are no direct writes.
 */
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";

/** A write of which the kernel did not take all at once; `oncomplete` comes when it has, or with what went wrong. */
export interface PendingWrite {
  oncomplete: (status: number) => void;
  /** Keeps the bytes alive. */
  buffer: unknown;
  /** Set where it ended before `oncomplete` was there to be told. */
  writeStatus: number | null;
}

/** What a plaintext socket's handle has for writing. */
export interface WriteHandle {
  writeBuffer(request: null, bytes: Buffer): number | PendingWrite;
  writev(request: null, pieces: readonly Buffer[], allBuffers: true): number | PendingWrite;
  /** How much of a write is left. */
  readonly writeQueueSize?: number;
}

/** Whether this Node's sockets write without a request made beforehand. */
const takesNull = ((): boolean => {
  const seen: unknown[] = [];
  const handle = {
    readStart: () => 0,
    readStop: () => 0,
    close: () => {},
    writeBuffer: (request: unknown) => {
      seen.push(request);
      return 0;
    },
  };
  try {
    const socket = new Socket({ handle } as unknown as ConstructorParameters<typeof Socket>[0]);
    socket.on("error", () => {});
    socket.write(Buffer.alloc(1));
    socket.destroy();
  } catch {
    return false;
  }
  return seen.length === 1 && seen[0] === null;
})();

/** What takes direct writes of a plaintext socket that stands; `undefined` where the socket's own `write` must do. */
export const writeHandleOf = (socket: Socket): WriteHandle | undefined => {
  if (!takesNull) return undefined;
  const handle = (socket as unknown as { readonly _handle: WriteHandle | null })._handle;
  // What the stream still holds goes first.
  return handle === null || handle === undefined || socket.writableLength > 0 ? undefined : handle;
};

/** 0 when the kernel has all of it, an error below that, or the write that goes on. */
export const writePieces = (handle: WriteHandle, pieces: readonly Buffer[]): number | PendingWrite =>
  pieces.length === 1 ? handle.writeBuffer(null, pieces[0] as Buffer) : handle.writev(null, pieces, true);

/** The error of a write, as sockets say it. */
export const writeError = (status: number): NodeJS.ErrnoException => {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" });
};

/** Messages with file descriptors over Unix sockets, which Node cannot send or receive. Linux on 64 bits, little endian. */
import { closeSync } from "node:fs";
import { loadKoffi, loadLibc } from "./libc.ts";

/** Most descriptors of one message; the kernel takes 253. */
export const descriptorsMax = 64;

/** What came in one piece. */
export interface UnixMessage {
  /** Empty at the end of the stream. */
  readonly bytes: Buffer;
  readonly descriptors: readonly number[];
}

export interface UnixCalls {
  /** The peer's user; `undefined` when the kernel does not tell. */
  readonly peerUid: (fd: number) => number | undefined;
  readonly isListening: (fd: number) => boolean;
  /** Sends all of it at once or throws. */
  readonly send: (fd: number, bytes: Buffer, descriptors: readonly number[]) => void;
  /** A blocking socket connected to the path. It gives up waiting after `timeoutMs`. Throws where nobody listens. */
  readonly connect: (path: string, timeoutMs: number) => number;
  /** Waits on another thread. Rejects after the socket's timeout. */
  readonly receive: (fd: number, bytesMax: number) => Promise<UnixMessage>;
}

const solSocket = 1;
const soReceiveTimeout = 20;
const soSendTimeout = 21;
const soPeerCredentials = 17;
const soAcceptsConnections = 30;
const afUnix = 1;
const streamCloseOnExec = 0x80001;
const pathBytesMax = 107;
const scmRights = 1;
const noSignal = 0x4000;
const closeOnExec = 0x4000_0000;
const controlTruncated = 0x08;
const messageBytes = 56;
const controlHeadBytes = 16;
const controlBytes = controlHeadBytes + 4 * descriptorsMax;

let calls: UnixCalls | undefined;

/** `undefined` where the C library cannot be called. */
export const loadUnixCalls = (): UnixCalls | undefined => {
  calls ??= make();
  return calls;
};

const make = (): UnixCalls | undefined => {
  const koffi = loadKoffi();
  const libc = loadLibc();
  if (koffi === undefined || libc === undefined || process.platform !== "linux") return undefined;
  const all = koffi.load(null);
  const sendmsg = all.func("int64_t sendmsg(int fd, const void *message, int flags)");
  const recvmsg = all.func("int64_t recvmsg(int fd, void *message, int flags)");
  const socket = all.func("int socket(int domain, int type, int protocol)");
  const connect = all.func("int connect(int fd, const void *address, uint32_t length)");
  const failed = (what: string): Error =>
    Object.assign(new Error(`${what} failed with error ${libc.errno()}`), { errno: libc.errno() });
  const option = (fd: number, name: number, bytes: number): Buffer | undefined => {
    const value = Buffer.alloc(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes);
    return libc.getsockopt(fd, solSocket, name, value, length) === 0 ? value : undefined;
  };
  /** struct msghdr around one struct iovec and a control buffer; the buffers must live as long as it. */
  const message = (bytes: Buffer, control: Buffer | undefined): Buffer => {
    const vector = Buffer.alloc(16);
    vector.writeBigUInt64LE(koffi.address(bytes), 0);
    vector.writeBigUInt64LE(BigInt(bytes.length), 8);
    const head = Buffer.alloc(messageBytes);
    head.writeBigUInt64LE(koffi.address(vector), 16);
    head.writeBigUInt64LE(1n, 24);
    if (control !== undefined) {
      head.writeBigUInt64LE(koffi.address(control), 32);
      head.writeBigUInt64LE(BigInt(control.length), 40);
    }
    return Object.assign(head, { holds: [vector, bytes, control] });
  };
  return {
    peerUid: (fd) => option(fd, soPeerCredentials, 12)?.readUInt32LE(4),
    isListening: (fd) => option(fd, soAcceptsConnections, 4)?.readUInt32LE() === 1,
    send: (fd, bytes, descriptors) => {
      const head = message(bytes, descriptors.length === 0 ? undefined : rightsOf(descriptors));
      if (Number(sendmsg(fd, head, noSignal)) !== bytes.length) throw failed("sendmsg");
    },
    connect: (path, timeoutMs) => {
      const name = Buffer.from(path);
      if (name.length > pathBytesMax) throw new Error(`the path of a socket has ${pathBytesMax} bytes at most`);
      const fd = Number(socket(afUnix, streamCloseOnExec, 0));
      if (fd < 0) throw failed("socket");
      const limit = Buffer.alloc(16);
      limit.writeBigInt64LE(BigInt(Math.floor(timeoutMs / 1000)), 0);
      limit.writeBigInt64LE(BigInt(Math.max(1, (timeoutMs % 1000) * 1000)), 8);
      for (const side of [soReceiveTimeout, soSendTimeout]) libc.setsockopt(fd, solSocket, side, limit, limit.length);
      const address = Buffer.alloc(2 + name.length + 1);
      address.writeUInt16LE(afUnix, 0);
      name.copy(address, 2);
      if (Number(connect(fd, address, address.length)) === 0) return fd;
      const error = failed(`connecting to ${path}`);
      closeSync(fd);
      throw error;
    },
    receive: (fd, bytesMax) =>
      new Promise((resolve, reject) => {
        const bytes = Buffer.allocUnsafeSlow(bytesMax);
        const control = Buffer.alloc(controlBytes);
        const head = message(bytes, control);
        recvmsg.async(fd, head, closeOnExec, (error: unknown, result: unknown) => {
          const length = Number(result);
          if (error || length < 0) {
            reject(error instanceof Error ? error : new Error("nothing came in time"));
            return;
          }
          const descriptors = readRights(control.subarray(0, Number(head.readBigUInt64LE(40))));
          if (head.readInt32LE(48) & controlTruncated) {
            for (const each of descriptors) closeSync(each);
            reject(new Error("more descriptors came than were agreed on"));
            return;
          }
          resolve({ bytes: bytes.subarray(0, length), descriptors });
        });
      }),
  };
};

/** struct cmsghdr with descriptors. */
const rightsOf = (descriptors: readonly number[]): Buffer => {
  const control = Buffer.alloc(controlHeadBytes + Math.ceil(descriptors.length / 2) * 8);
  control.writeBigUInt64LE(BigInt(controlHeadBytes + 4 * descriptors.length), 0);
  control.writeInt32LE(solSocket, 8);
  control.writeInt32LE(scmRights, 12);
  for (const [index, fd] of descriptors.entries()) control.writeInt32LE(fd, controlHeadBytes + 4 * index);
  return control;
};

const readRights = (control: Buffer): readonly number[] => {
  const found: number[] = [];
  let at = 0;
  while (at + controlHeadBytes <= control.length) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < controlHeadBytes || at + length > control.length) break;
    if (control.readInt32LE(at + 8) === solSocket && control.readInt32LE(at + 12) === scmRights) {
      for (let each = at + controlHeadBytes; each + 4 <= at + length; each += 4) found.push(control.readInt32LE(each));
    }
    at += Math.ceil(length / 8) * 8;
  }
  return found;
};

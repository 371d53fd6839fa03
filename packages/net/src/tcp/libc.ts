import { createRequire } from "node:module";
import type { Socket } from "node:net";

/** The calls into the C library that Node has no word for. Results below 0 are failures. */
export interface Libc {
  readonly getsockopt: (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: Buffer, length: number) => number;
  /** A socket of that family and type. */
  readonly socket: (family: number, type: number) => number;
  readonly bind: (fd: number, address: Buffer) => number;
  /** Another descriptor of the same thing, which children do not inherit. */
  readonly duplicate: (fd: number) => number;
  /** The error of the call just made. */
  readonly errno: () => number;
}

type Koffi = typeof import("koffi");

let koffi: Koffi | undefined | "absent";
let libc: Libc | undefined;

const duplicateCloseOnExec = 1030;

/** The library that calls others; `undefined` where it does not run. Loaded at first use: most sidecars never need it. */
export const loadKoffi = (): Koffi | undefined => {
  if (koffi === undefined) {
    try {
      koffi = createRequire(import.meta.url)("koffi") as Koffi;
    } catch {
      koffi = "absent";
    }
  }
  return koffi === "absent" ? undefined : koffi;
};

/** The C library; `undefined` where it cannot be called. */
export const loadLibc = (): Libc | undefined => {
  const library = libc === undefined ? loadKoffi() : undefined;
  if (library !== undefined) {
    const all = library.load(null);
    const fcntl = all.func("int fcntl(int fd, int command, ...)");
    const socket = all.func("int socket(int family, int type, int protocol)");
    const bind = all.func("int bind(int fd, const void *address, uint32_t length)");
    libc = {
      getsockopt: all.func("int getsockopt(int fd, int level, int name, void *value, void *length)"),
      setsockopt: all.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)"),
      socket: (family, type) => Number(socket(family, type, 0)),
      bind: (fd, address) => Number(bind(fd, address, address.length)),
      duplicate: (fd) => Number(fcntl(fd, duplicateCloseOnExec, "int", 0)),
      errno: () => library.errno(),
    };
  }
  return libc;
};

/** Another descriptor of the same socket, the caller's to close; `undefined` where there can be none. */
export const duplicateDescriptor = (fd: number): number | undefined => {
  const copy = loadLibc()?.duplicate(fd) ?? -1;
  return copy < 0 ? undefined : copy;
};

const acceptFlags = 0o2004000;
let accept4: ((fd: number, address: null, length: null, flags: number) => number) | undefined | "absent";

/** A connection that waits at a listening socket, the caller's from now on; `undefined` where none can be had. */
export const acceptWaiting = (fd: number): number | undefined => {
  if (accept4 === undefined) {
    const library = process.platform === "linux" ? loadKoffi() : undefined;
    accept4 = library?.load(null).func("int accept4(int fd, void *address, void *length, int flags)") ?? "absent";
  }
  if (accept4 === "absent") return undefined;
  const connection = accept4(fd, null, null, acceptFlags);
  return connection < 0 ? undefined : connection;
};

/** The file descriptor inside a socket or server; `undefined` where there is none (any more). */
export const descriptorOf = (owner: object): number | undefined => {
  const fd = (owner as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
};

const solSocket = 1;
const soLinger = 13;

/** Makes the close of this socket a reset, also under TLS; without the library it stays an end. */
export const closeWithReset = (socket: Socket): void => {
  const fd = descriptorOf(socket);
  if (fd === undefined) return;
  // struct linger { int on; int seconds; }
  const linger = Buffer.alloc(8);
  linger.writeInt32LE(1, 0);
  loadLibc()?.setsockopt(fd, solSocket, soLinger, linger, linger.length);
};

const solIp = 0;
const solIpv6 = 41;
const ipTransparent = 19;
const ipv6Transparent = 75;

/**
 * Lets a listening socket accept what was sent to addresses that are not this machine's. The reason when it may not:
 * that takes CAP_NET_ADMIN.
 */
export const makeTransparent = (fd: number, family: "IPv4" | "IPv6"): string | undefined => {
  const calls = loadLibc();
  if (calls === undefined) return "the C library cannot be called here";
  const on = Buffer.alloc(4);
  on.writeInt32LE(1);
  const six = family === "IPv6";
  const result = calls.setsockopt(fd, six ? solIpv6 : solIp, six ? ipv6Transparent : ipTransparent, on, on.length);
  if (result === 0) return undefined;
  const errno = calls.errno();
  return errno === 1 ? "not permitted" : `setsockopt failed with error ${errno}`;
};

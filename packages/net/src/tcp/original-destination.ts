import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { SocketAddress } from "@weft/core/address";

/** Linux numbers; nothing else redirects this way. */
const solIp = 0;
const solIpv6 = 41;
const soOriginalDst = 80;
const addressFamilyInet = 2;
const addressFamilyInet6 = 10;
const addressBytes = 28;

type GetSocketOption = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

let loaded: GetSocketOption | undefined | "absent";

/** Loaded at first use only: who does not redirect connections does not pay for it, and may lack it. */
const getSocketOption = (): GetSocketOption | undefined => {
  if (loaded === undefined) {
    loaded = "absent";
    try {
      const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
      const libc = koffi.load(null);
      loaded = libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)") as GetSocketOption;
    } catch {
      // Without the library no connection has an original destination.
    }
  }
  return loaded === "absent" ? undefined : loaded;
};

/** Reads a sockaddr_in or sockaddr_in6. */
export const parseSocketAddress = (bytes: Buffer): SocketAddress | undefined => {
  const port = bytes.readUInt16BE(2);
  const family = bytes.readUInt16LE(0);
  if (family === addressFamilyInet) return { host: bytes.subarray(4, 8).join("."), port };
  if (family !== addressFamilyInet6) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(8 + 2 * i).toString(16));
  return { host: groups.join(":"), port };
};

/** Where a redirected connection was going before iptables sent it here; `undefined` when it was not redirected. */
export const originalDestination = (socket: Socket): SocketAddress | undefined => {
  const get = getSocketOption();
  const fd = (socket as unknown as { readonly _handle: { readonly fd?: number } | null })._handle?.fd;
  if (get === undefined || fd === undefined || fd < 0) return undefined;
  const value = Buffer.alloc(addressBytes);
  const length = Buffer.alloc(4);
  for (const level of [solIp, solIpv6]) {
    length.writeUInt32LE(addressBytes);
    if (get(fd, level, soOriginalDst, value, length) === 0) {
      const found = parseSocketAddress(value);
      // The kernel answers with the address we listen on when nothing was redirected but tracked.
      if (found !== undefined && !(found.host === socket.localAddress && found.port === socket.localPort)) return found;
    }
  }
  return undefined;
};

import type { Socket } from "node:net";
import type { SocketAddress } from "@weft/core/address";
import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import { descriptorOf, loadLibc } from "./libc.ts";

/** Linux numbers; nothing else redirects this way. */
const solIp = 0;
const solIpv6 = 41;
const soOriginalDst = 80;
const addressFamilyInet = 2;
const addressFamilyInet6 = 10;
const addressBytes = 28;

/** Reads a sockaddr_in or sockaddr_in6. */
export const parseSocketAddress = (bytes: Buffer): SocketAddress | undefined => {
  const port = bytes.readUInt16BE(2);
  const family = bytes.readUInt16LE(0);
  if (family === addressFamilyInet) return { host: bytes.subarray(4, 8).join("."), port };
  if (family !== addressFamilyInet6) return undefined;
  return { host: formatIPv6(bytes.subarray(8, 24)), port };
};

/** As the rest of the proxy and Envoy's configuration write it. */
const formatIPv6 = (bytes: Buffer): string => {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  // The URL parser shortens as RFC 5952 says.
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
};

const v4Mapped = Buffer.from("00000000000000000000ffff", "hex");

/** An address as bytes, IPv4 also where a dual-stack socket writes it as IPv6. */
const bytesOf = (host: string): Buffer => {
  const four = parseIPv4(host);
  if (four !== undefined) return Buffer.from(four);
  const six = Buffer.from(parseIPv6(host.split("%")[0] ?? "") ?? []);
  return six.subarray(0, 12).equals(v4Mapped) ? six.subarray(12) : six;
};

/** Whether two are the same address, however they are written. */
export const sameAddress = (a: SocketAddress, b: SocketAddress): boolean =>
  a.port === b.port && (a.host === b.host || bytesOf(a.host).equals(bytesOf(b.host)));

/** Where a redirected connection was going before iptables sent it here; `undefined` when it was not redirected. */
export const originalDestination = (socket: Socket): SocketAddress | undefined => {
  const calls = loadLibc();
  const fd = descriptorOf(socket);
  if (calls === undefined || fd === undefined) return undefined;
  const { localAddress: host = "", localPort: port = 0 } = socket;
  const value = Buffer.alloc(addressBytes);
  const length = Buffer.alloc(4);
  for (const level of [solIp, solIpv6]) {
    length.writeUInt32LE(addressBytes);
    if (calls.getsockopt(fd, level, soOriginalDst, value, length) !== 0) continue;
    const found = parseSocketAddress(value);
    // The kernel answers with the address we listen on when nothing was redirected but tracked.
    if (found !== undefined && !sameAddress(found, { host, port })) return found;
  }
  return undefined;
};

/**
 * The same for a socket of a transparent listener: connections arrive there with the address they were sent to as their
 * own. One that was sent to the listener itself was not intercepted.
 */
export const transparentDestination = (socket: Socket, listening: number): SocketAddress | undefined => {
  const redirected = originalDestination(socket);
  if (redirected !== undefined) return redirected;
  const { localAddress, localPort } = socket;
  if (localAddress === undefined || localPort === undefined || localPort === listening) return undefined;
  return { host: localAddress.startsWith("::ffff:") ? localAddress.slice(7) : localAddress, port: localPort };
};

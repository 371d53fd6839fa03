/** Sockets that connect from an address that is not this machine's: the client's own, where the kernel brings back the answers. */
import { closeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import { type Libc, loadLibc } from "./libc.ts";

export interface TransparentSource {
  readonly host: string;
  /** The firewall mark of its packets, by which answers are routed back here; 0 for none. */
  readonly mark: number;
}

/** Linux numbers. */
const addressFamilies = { ipv4: 2, ipv6: 10 } as const;
/** A stream that does not block and that children do not inherit. */
const socketType = 1 | 0o4000 | 0o2000000;
const solIp = 0;
const solIpv6 = 41;
const solSocket = 1;
const soMark = 36;
const ipTransparent = 19;
const ipv6Transparent = 75;
/** The port is chosen when it connects, so that one port serves for many destinations. */
const ipBindAddressNoPort = 24;

/** An address without a port as the kernel has it. */
export const socketAddressOf = (host: string): Buffer | undefined => {
  const four = parseIPv4(host);
  if (four !== undefined) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(addressFamilies.ipv4);
    bytes.set(four, 4);
    return bytes;
  }
  const six = parseIPv6(host);
  if (six === undefined) return undefined;
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(addressFamilies.ipv6);
  bytes.set(six, 8);
  return bytes;
};

const failure = (what: string, code: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`cannot connect as the client: ${what}: ${code}`), { code });

const set = (calls: Libc, fd: number, [level, name, value]: readonly [number, number, number]): boolean => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return calls.setsockopt(fd, level, name, bytes, bytes.length) === 0;
};

/**
 * A socket, not connected yet, that will connect from there; the caller's to close. An error says why there is none:
 * other than its own addresses takes CAP_NET_ADMIN.
 */
export const openTransparent = ({ host, mark }: TransparentSource): number | NodeJS.ErrnoException => {
  const calls = loadLibc();
  if (calls === undefined) return failure("the C library cannot be called here", "ENOSYS");
  const address = socketAddressOf(host);
  if (address === undefined) return failure(`${host} is no address`, "EINVAL");
  const six = address.length > 16;
  const fd = calls.socket(six ? addressFamilies.ipv6 : addressFamilies.ipv4, socketType);
  const refuse = (what: string): NodeJS.ErrnoException => {
    const error = failure(what, getSystemErrorName(-calls.errno()));
    if (fd >= 0) closeSync(fd);
    return error;
  };
  if (fd < 0) return refuse("socket");
  const transparent = six ? ([solIpv6, ipv6Transparent, 1] as const) : ([solIp, ipTransparent, 1] as const);
  if (!set(calls, fd, transparent)) return refuse("a foreign source address");
  if (mark !== 0 && !set(calls, fd, [solSocket, soMark, mark])) return refuse("a mark");
  set(calls, fd, [solIp, ipBindAddressNoPort, 1]);
  return calls.bind(fd, address) === 0 ? fd : refuse(`bind to ${host}`);
};

import { isIPv4, parseIPv4, parseIPv6 } from "@weft/core/ip";
import {
  type ProxyAddresses,
  type Tlv,
  tlvHeadBytes,
  tlvTypes,
  v2FixedBytes,
  v2RestBytesMax,
  v2Signature,
} from "./header.ts";

/** Version 1. Addresses of two families cannot be told in it, nor can anything but addresses: those are UNKNOWN. */
export const encodeProxyV1 = (addresses: ProxyAddresses | undefined): Buffer => {
  const family = addresses === undefined ? undefined : familyOf(addresses);
  if (addresses === undefined || family === undefined) return Buffer.from("PROXY UNKNOWN\r\n");
  const { source, destination } = addresses;
  const name = family === 4 ? "TCP4" : "TCP6";
  return Buffer.from(`PROXY ${name} ${source.host} ${destination.host} ${source.port} ${destination.port}\r\n`);
};

/**
 * Version 2; without addresses it is LOCAL and carries no extensions. Extensions that do not fit the length field any
 * more are left out from the first such on; a checksum of another header is never passed on.
 */
export const encodeProxyV2 = (addresses: ProxyAddresses | undefined, tlvs: readonly Tlv[] = []): Buffer => {
  const family = addresses === undefined ? undefined : familyOf(addresses);
  if (addresses === undefined || family === undefined)
    return Buffer.concat([v2Signature, Buffer.from([0x20, 0, 0, 0])]);
  const parse = family === 4 ? parseIPv4 : parseIPv6;
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(addresses.source.port, 0);
  ports.writeUInt16BE(addresses.destination.port, 2);
  const parts = [parse(addresses.source.host) ?? none, parse(addresses.destination.host) ?? none, ports];
  let length = parts.reduce((sum, part) => sum + part.length, 0);
  for (const { type, value } of tlvs) {
    if (type === tlvTypes.crc32c) continue;
    if (length + tlvHeadBytes + value.length > v2RestBytesMax) break;
    parts.push(Buffer.from([type, value.length >> 8, value.length & 0xff]), value);
    length += tlvHeadBytes + value.length;
  }
  const head = Buffer.alloc(v2FixedBytes);
  v2Signature.copy(head);
  head[12] = 0x21;
  head[13] = family === 4 ? 0x11 : 0x21;
  head.writeUInt16BE(length, 14);
  return Buffer.concat([head, ...parts]);
};

const none = new Uint8Array(0);

const familyOf = ({ source, destination }: ProxyAddresses): 4 | 6 | undefined => {
  if (isIPv4(source.host)) return isIPv4(destination.host) ? 4 : undefined;
  return parseIPv6(source.host) !== undefined && parseIPv6(destination.host) !== undefined ? 6 : undefined;
};

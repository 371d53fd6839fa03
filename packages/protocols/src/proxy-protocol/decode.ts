import type { SocketAddress } from "@weft/core/address";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import { formatGroups } from "./addresses.ts";
import { crc32c } from "./crc32c.ts";
import {
  type ProxyAddresses,
  type ProxyHeader,
  type ProxyVersion,
  type Tlv,
  tlvHeadBytes,
  tlvTypes,
  v1BytesMax,
  v1Signature,
  v2AddressBytes,
  v2FixedBytes,
  v2Signature,
} from "./header.ts";

export type DecodedProxyHeader =
  /** What there is could still become a header. */
  | { readonly kind: "need-more" }
  /** The first bytes are no header's. */
  | { readonly kind: "none" }
  /** `length` bytes are the header's; what follows is the connection's own. Values are copies. */
  | { readonly kind: "header"; readonly header: ProxyHeader; readonly length: number }
  | { readonly kind: "error"; readonly version: ProxyVersion; readonly reason: string };

const needMore: DecodedProxyHeader = { kind: "need-more" };
const none: DecodedProxyHeader = { kind: "none" };
const bothVersions: readonly ProxyVersion[] = ["v1", "v2"];

/**
 * Reads the PROXY protocol header at the head of a connection. Give it all bytes so far: wherever they were cut, the
 * result is the same once there is one. Only headers of the given versions are looked for.
 */
export const decodeProxyHeader = (
  bytes: Buffer,
  versions: readonly ProxyVersion[] = bothVersions,
): DecodedProxyHeader => {
  if (bytes.length === 0) return needMore;
  const one = versions.includes("v1") && startsLike(bytes, v1Signature);
  const two = versions.includes("v2") && startsLike(bytes, v2Signature);
  if (one) return bytes.length < v1Signature.length ? needMore : decodeV1(bytes);
  if (two) return bytes.length < v2Signature.length ? needMore : decodeV2(bytes);
  return none;
};

const startsLike = (bytes: Buffer, signature: Buffer): boolean => {
  const length = Math.min(bytes.length, signature.length);
  return bytes.compare(signature, 0, length, 0, length) === 0;
};

const bad = (version: ProxyVersion, reason: string): DecodedProxyHeader => ({ kind: "error", version, reason });

const decodeV1 = (bytes: Buffer): DecodedProxyHeader => {
  const head = bytes.subarray(0, v1BytesMax);
  const end = head.indexOf("\r\n", 0, "latin1");
  if (end < 0) return bytes.length < v1BytesMax ? needMore : bad("v1", `no line end within ${v1BytesMax} bytes`);
  const length = end + 2;
  const line = head.toString("latin1", v1Signature.length, end);
  // What follows UNKNOWN on the line is to be ignored.
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) {
    return { kind: "header", header: { version: "v1", addresses: undefined, tlvs: [] }, length };
  }
  const addresses = parseLine(line.split(" "));
  if (typeof addresses === "string") return bad("v1", addresses);
  return { kind: "header", header: { version: "v1", addresses, tlvs: [] }, length };
};

const parseLine = (words: readonly string[]): ProxyAddresses | string => {
  const [family, sourceHost = "", destinationHost = "", sourcePort = "", destinationPort = ""] = words;
  if (family !== "TCP4" && family !== "TCP6") return "the family is none of TCP4, TCP6, UNKNOWN";
  if (words.length !== 5) return "two addresses and two ports are wanted, one space between them";
  const isHost = family === "TCP4" ? isIPv4 : isIPv6;
  if (!isHost(sourceHost)) return `the source is not an address of ${family}`;
  if (!isHost(destinationHost)) return `the destination is not an address of ${family}`;
  const from = parsePort(sourcePort);
  const to = parsePort(destinationPort);
  if (from === undefined || to === undefined) return "a port is not a number from 0 to 65535";
  return { source: { host: sourceHost, port: from }, destination: { host: destinationHost, port: to } };
};

const parsePort = (text: string): number | undefined =>
  /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;

/** The checks go along the bytes, so that a prefix never gives another verdict than the whole. */
const decodeV2 = (bytes: Buffer): DecodedProxyHeader => {
  if (bytes.length <= 12) return needMore;
  const versionAndCommand = bytes[12] as number;
  if (versionAndCommand >> 4 !== 2) return bad("v2", "the version is not 2");
  const command = versionAndCommand & 0x0f;
  if (command > 1) return bad("v2", "the command is neither LOCAL nor PROXY");
  const local = command === 0;
  if (bytes.length <= 13) return needMore;
  const kind = local ? unspecified : kindOf(bytes[13] as number);
  if (typeof kind === "string") return bad("v2", kind);
  if (bytes.length < v2FixedBytes) return needMore;
  const rest = bytes.readUInt16BE(14);
  if (rest < kind.addressBytes) return bad("v2", "the length does not hold the addresses");
  const length = v2FixedBytes + rest;
  if (bytes.length < length) return needMore;
  const whole = Buffer.from(bytes.subarray(0, length));
  // A health check of the sender's own may fill the space with anything.
  if (local) return { kind: "header", header: { version: "v2", addresses: undefined, tlvs: [] }, length };
  const tlvs = readTlvs(whole, v2FixedBytes + kind.addressBytes);
  if (typeof tlvs === "string") return bad("v2", tlvs);
  return { kind: "header", header: { version: "v2", addresses: kind.read(whole), tlvs }, length };
};

interface AddressKind {
  readonly addressBytes: number;
  readonly read: (header: Buffer) => ProxyAddresses | undefined;
}

const unspecified: AddressKind = { addressBytes: 0, read: () => undefined };
const unix: AddressKind = { addressBytes: v2AddressBytes.unix, read: () => undefined };
const addressesAt = (header: Buffer, hostBytes: number, hostAt: (at: number) => string): ProxyAddresses => {
  const ports = v2FixedBytes + 2 * hostBytes;
  const end = (index: 0 | 1): SocketAddress => ({
    host: hostAt(v2FixedBytes + index * hostBytes),
    port: header.readUInt16BE(ports + 2 * index),
  });
  return { source: end(0), destination: end(1) };
};
const inet: AddressKind = {
  addressBytes: v2AddressBytes.inet,
  read: (header) => addressesAt(header, 4, (at) => header.subarray(at, at + 4).join(".")),
};
const inet6: AddressKind = {
  addressBytes: v2AddressBytes.inet6,
  read: (header) => addressesAt(header, 16, (at) => formatGroups(header, at)),
};

const kindOf = (familyAndTransport: number): AddressKind | string => {
  const family = familyAndTransport >> 4;
  const transport = familyAndTransport & 0x0f;
  if (family > 3 || transport > 2) return "the family or transport is not known";
  if (family === 0 || transport === 0) return unspecified;
  if (transport === 2) return "datagrams do not come over a stream";
  return [unspecified, inet, inet6, unix][family] ?? unspecified;
};

const readTlvs = (header: Buffer, start: number): readonly Tlv[] | string => {
  const tlvs: Tlv[] = [];
  let at = start;
  while (at < header.length) {
    if (at + tlvHeadBytes > header.length) return "an extension is cut off";
    const type = header[at] as number;
    const end = at + tlvHeadBytes + header.readUInt16BE(at + 1);
    if (end > header.length) return "an extension is longer than the header";
    const value = header.subarray(at + tlvHeadBytes, end);
    if (type === tlvTypes.crc32c && !sumHolds(header, at + tlvHeadBytes, value)) return "the checksum is wrong";
    if (type !== tlvTypes.noop) tlvs.push({ type, value });
    at = end;
  }
  return tlvs;
};

/** The sum is over the whole header with the sum's own bytes 0. */
const sumHolds = (header: Buffer, at: number, value: Buffer): boolean => {
  if (value.length !== 4) return false;
  const copy = Buffer.from(header);
  copy.fill(0, at, at + 4);
  return crc32c(copy) === value.readUInt32BE(0);
};

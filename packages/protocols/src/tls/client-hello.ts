/**
 * Reads a TLS ClientHello (RFC 8446 section 4.1.2) for what routing needs, without taking part in the handshake. The
 * bytes are whatever arrived first on a connection, cut anywhere; nothing is consumed.
 */
export type ClientHelloResult = { readonly kind: "need-more" } | { readonly kind: "not-tls" } | ClientHello;

export interface ClientHello {
  readonly kind: "client-hello";
  /** Lower case, without a trailing dot; empty when the client names no host or not a proper one. */
  readonly sni: string;
  /** In the client's order, as latin1 text: `istio`, `h2`, `http/1.1`. */
  readonly alpn: readonly string[];
  /** Highest first; of TLS 1.0 to 1.3 only. */
  readonly versions: readonly TlsVersion[];
}

export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** A hello that takes more bytes than this, record headers included, is not read: `not-tls`. */
export const clientHelloBytesMax = 16 * 1024;

const handshakeRecord = 22;
const clientHelloMessage = 1;
const recordHeader = 5;
const messageHeader = 4;
const recordBytesMax = 16 * 1024;

const needMore: ClientHelloResult = { kind: "need-more" };
const notTls: ClientHelloResult = { kind: "not-tls" };

/** Never throws. The same bytes give the same result however they arrived; `need-more` only for a proper beginning. */
export const parseClientHello = (bytes: Buffer): ClientHelloResult => {
  const handshake = joinRecords(bytes);
  if (!handshake || (handshake.length > 0 && handshake[0] !== clientHelloMessage)) return notTls;
  const more = bytes.length >= clientHelloBytesMax ? notTls : needMore;
  if (handshake.length < messageHeader) return more;
  const length = handshake.readUIntBE(1, 3);
  if (length > clientHelloBytesMax) return notTls;
  if (handshake.length < messageHeader + length) return more;
  return parseBody(new Reader(handshake.subarray(messageHeader, messageHeader + length))) ?? notTls;
};

/** More records than this for one hello are not a client's doing. */
const recordsMax = 32;

/** The handshake bytes that have come, out of the records they may be spread over; `undefined` when they are not. */
const joinRecords = (bytes: Buffer): Buffer | undefined => {
  let handshake: Buffer = Buffer.alloc(0);
  let at = 0;
  for (let records = 0; at < bytes.length && !isWhole(handshake); records++) {
    if (records === recordsMax || bytes[at] !== handshakeRecord) return undefined;
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return undefined;
    if (at + recordHeader > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    // RFC 8446 section 5.1 forbids empty handshake records; a peer could send them without end.
    if (length === 0 || length > recordBytesMax) return undefined;
    const part = bytes.subarray(at + recordHeader, at + recordHeader + length);
    handshake = records === 0 ? part : Buffer.concat([handshake, part]);
    at += recordHeader + length;
  }
  return handshake;
};

const isWhole = (handshake: Buffer): boolean =>
  handshake.length >= messageHeader && handshake.length >= messageHeader + handshake.readUIntBE(1, 3);

/** Takes length-prefixed pieces off a buffer; `undefined` as soon as one is cut short. */
class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get empty(): boolean {
    return this.at === this.bytes.length;
  }

  take(length: number): Buffer | undefined {
    if (this.at + length > this.bytes.length) return undefined;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  number(size: 1 | 2): number | undefined {
    return this.take(size)?.readUIntBE(0, size);
  }

  vector(lengthSize: 1 | 2): Reader | undefined {
    const length = this.number(lengthSize);
    const bytes = length === undefined ? undefined : this.take(length);
    return bytes && new Reader(bytes);
  }

  rest(): Buffer {
    return this.bytes.subarray(this.at);
  }
}

const versionNames: ReadonlyMap<number, TlsVersion> = new Map([
  [0x0304, "TLSv1.3"],
  [0x0303, "TLSv1.2"],
  [0x0302, "TLSv1.1"],
  [0x0301, "TLSv1"],
]);

const extensionServerName = 0;
const extensionAlpn = 16;
const extensionVersions = 43;
const extensionsMax = 128;

const parseBody = (body: Reader): ClientHello | undefined => {
  const legacyVersion = body.number(2);
  const random = body.take(32);
  const session = body.vector(1);
  const suites = body.vector(2);
  const compression = body.vector(1);
  if (legacyVersion === undefined || !random || !session || !suites || !compression) return undefined;
  if (legacyVersion >> 8 !== 3) return undefined;
  const extensions = body.empty ? new Map<number, Reader>() : readExtensions(body);
  if (!extensions || !body.empty) return undefined;
  const name = extensions.get(extensionServerName);
  const protocols = extensions.get(extensionAlpn);
  const offered = extensions.get(extensionVersions);
  const sni = name ? readServerName(name) : "";
  const alpn = protocols ? readProtocols(protocols) : [];
  const versions = offered ? readVersions(offered) : legacyVersions(legacyVersion);
  if (sni === undefined || !alpn || !versions) return undefined;
  return { kind: "client-hello", sni, alpn, versions };
};

/** By type; `undefined` when malformed, too many, or one comes twice (RFC 8446 section 4.2). */
const readExtensions = (body: Reader): Map<number, Reader> | undefined => {
  const list = body.vector(2);
  const byType = new Map<number, Reader>();
  while (list && !list.empty) {
    const type = list.number(2);
    const data = list.vector(2);
    if (type === undefined || !data || byType.has(type) || byType.size === extensionsMax) return undefined;
    byType.set(type, data);
  }
  return list && byType;
};

/** RFC 6066 section 3: one name of type 0. `undefined` when malformed. */
const readServerName = (data: Reader): string | undefined => {
  const list = data.vector(2);
  if (!list || !data.empty || list.empty) return undefined;
  let name: string | undefined;
  while (!list.empty) {
    const type = list.number(1);
    const text = list.vector(2)?.rest().toString("latin1");
    if (type === undefined || text === undefined) return undefined;
    if (type !== 0) continue;
    if (name !== undefined) return undefined;
    name = text;
  }
  // A name with other characters can match no configuration, and must not reach a log as it is.
  return name !== undefined && /^[a-zA-Z0-9._-]{1,254}$/.test(name) ? name.toLowerCase().replace(/\.$/, "") : "";
};

const readProtocols = (data: Reader): string[] | undefined => {
  const list = data.vector(2);
  const protocols: string[] = [];
  while (list && !list.empty) {
    const protocol = list.vector(1)?.rest();
    if (!protocol || protocol.length === 0) return undefined;
    protocols.push(protocol.toString("latin1"));
  }
  return list && data.empty ? protocols : undefined;
};

const readVersions = (data: Reader): TlsVersion[] | undefined => {
  const list = data.vector(1);
  const numbers = new Set<number>();
  while (list && !list.empty) {
    const version = list.number(2);
    if (version === undefined) return undefined;
    numbers.add(version);
  }
  if (!list || !data.empty) return undefined;
  return [...versionNames].filter(([number]) => numbers.has(number)).map(([, name]) => name);
};

/** Before TLS 1.3 a hello names its highest version only. */
const legacyVersions = (highest: number): TlsVersion[] =>
  [...versionNames].filter(([number]) => number <= Math.min(highest, 0x0303)).map(([, name]) => name);

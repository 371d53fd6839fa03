import type { SocketAddress } from "@weft/core/address";

/** Version 1 is one line of text, version 2 is binary. */
export type ProxyVersion = "v1" | "v2";

/** An extension of a version 2 header: a type and bytes that only its users understand. */
export interface Tlv {
  /** 0 to 255. */
  readonly type: number;
  readonly value: Buffer;
}

/** What a header tells of the connection it stands at the head of. */
export interface ProxyHeader {
  readonly version: ProxyVersion;
  /**
   * Both ends as the sender saw them, of one address family; `undefined` when the sender speaks for itself (LOCAL) or
   * does not know (UNKNOWN, UNSPEC, Unix sockets): then the connection's own addresses hold.
   */
  readonly addresses: ProxyAddresses | undefined;
  readonly tlvs: readonly Tlv[];
}

export interface ProxyAddresses {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
}

/** The longest line of version 1, its line end included. */
export const v1BytesMax = 107;
export const v1Signature = Buffer.from("PROXY ");
export const v2Signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Signature, version and command, family and transport, length of the rest. */
export const v2FixedBytes = 16;
/** Address bytes by family. */
export const v2AddressBytes = { inet: 12, inet6: 36, unix: 216 } as const;
/** The length field has 16 bits. */
export const v2RestBytesMax = 0xffff;
export const tlvHeadBytes = 3;
export const tlvTypes = { crc32c: 0x03, noop: 0x04 } as const;

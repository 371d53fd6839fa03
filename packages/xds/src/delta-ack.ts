/**
 * Reads the request that makes up nearly all of a delta stream, a plain ACK, without making a message of it: a server
 * reads one per stream and push.
 */
import { type ResourceType, resourceTypes } from "./resource.ts";

export interface DeltaAck {
  readonly typeUrl: string;
  readonly nonce: string;
}

/** Field numbers of DeltaDiscoveryRequest with wire type 2, as they stand before the length. */
const typeUrlTag = (2 << 3) | 2;
const nonceTag = (6 << 3) | 2;
/** From here on a length takes a second byte, and text may not be ASCII. */
const oneByteMax = 0x80;

const byUrl: ReadonlyMap<string, ResourceType> = new Map(resourceTypes.map((type) => [type.typeUrl, type]));

/**
 * Gives what a DeltaDiscoveryRequest acknowledges when it has a type URL that we know and a nonce, once each, and nothing
 * else. `undefined` says only that somebody else must read it: it may be a NACK, a subscription, or no request at all.
 */
export const readDeltaAck = (bytes: Uint8Array): DeltaAck | undefined => {
  let typeUrl = "";
  let nonce = "";
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at];
    const length = bytes[at + 1] ?? oneByteMax;
    const end = at + 2 + length;
    if (length >= oneByteMax || length === 0 || end > bytes.length) return undefined;
    const text = asciiOf(bytes, at + 2, end);
    if (tag === typeUrlTag && typeUrl === "") typeUrl = text;
    else if (tag === nonceTag && nonce === "") nonce = text;
    else return undefined;
    if (text === "") return undefined;
    at = end;
  }
  const type = byUrl.get(typeUrl);
  return type && nonce !== "" ? { typeUrl: type.typeUrl, nonce } : undefined;
};

/** Empty when there is anything else than ASCII. */
const asciiOf = (bytes: Uint8Array, from: number, to: number): string => {
  for (let at = from; at < to; at++) if ((bytes[at] ?? oneByteMax) >= oneByteMax) return "";
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1");
};

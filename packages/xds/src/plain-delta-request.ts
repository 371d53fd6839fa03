/**
 * Reads the requests that make up nearly all of a delta stream without making messages of them: ACKs, of which a server
 * reads one per stream and push, and subscriptions, which name hundreds of resources when many clients come at once.
 */
import { type ResourceType, resourceTypes } from "./resource.ts";

export interface PlainDeltaRequest {
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** Empty when it answers nothing. */
  readonly nonce: string;
}

/** Field numbers of DeltaDiscoveryRequest with wire type 2, as they stand before the length. */
const typeUrlTag = (2 << 3) | 2;
const subscribeTag = (3 << 3) | 2;
const unsubscribeTag = (4 << 3) | 2;
const nonceTag = (6 << 3) | 2;
/** From here on a length takes a second byte, and text may not be ASCII. */
const oneByteMax = 0x80;

const byUrl: ReadonlyMap<string, ResourceType> = new Map(resourceTypes.map((type) => [type.typeUrl, type]));
const nothing: readonly string[] = [];

/**
 * Gives a DeltaDiscoveryRequest that has a type URL that we know, once, at most one nonce, names to subscribe to or not,
 * and nothing else, all in ASCII of less than 128 bytes each. `undefined` says only that somebody else must read it: it
 * may be a NACK, the first one of a stream, or no request at all.
 */
export const readPlainDeltaRequest = (bytes: Uint8Array): PlainDeltaRequest | undefined => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let type: ResourceType | undefined;
  let nonce = "";
  let subscribe: string[] | undefined;
  let unsubscribe: string[] | undefined;
  for (let at = 0; at < buffer.length; ) {
    const tag = buffer[at];
    const length = buffer[at + 1] ?? oneByteMax;
    const end = at + 2 + length;
    if (length >= oneByteMax || length === 0 || end > buffer.length || !isAscii(buffer, at + 2, end)) return undefined;
    const text = buffer.toString("latin1", at + 2, end);
    if (tag === subscribeTag) {
      subscribe ??= [];
      subscribe.push(text);
    } else if (tag === unsubscribeTag) {
      unsubscribe ??= [];
      unsubscribe.push(text);
    } else if (tag === typeUrlTag && type === undefined) {
      type = byUrl.get(text);
      if (type === undefined) return undefined;
    } else if (tag === nonceTag && nonce === "") {
      nonce = text;
    } else {
      return undefined;
    }
    at = end;
  }
  return type && { typeUrl: type.typeUrl, nonce, subscribe: subscribe ?? nothing, unsubscribe: unsubscribe ?? nothing };
};

const isAscii = (buffer: Buffer, from: number, to: number): boolean => {
  for (let at = from; at < to; at++) if ((buffer[at] as number) >= oneByteMax) return false;
  return true;
};

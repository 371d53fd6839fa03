/** From the bytes of a discovery request to what a server stream takes. */
import { decodeDeltaRequest, decodeDiscoveryRequest } from "@weft/xds/discovery";
import { readPlainDeltaRequest } from "@weft/xds/plain-delta-request";
import type { StreamMode, StreamRequest } from "@weft/xds/stream-messages";

/** Throws an Error when the bytes are no such request. */
export type ReadStreamRequest = (mode: StreamMode, bytes: Uint8Array) => StreamRequest;

/** Requests of at least this many bytes are remembered, and of at most that many. */
const rememberedBytesMin = 1024;
const rememberedBytesMax = 256 * 1024;
const rememberedMax = 16;

interface Remembered {
  readonly bytes: Buffer;
  readonly request: StreamRequest;
}

/**
 * A reader that gives requests of the same bytes as one object: the proxies of a mesh ask for the same hundreds of names
 * in the same words when they come, and share the lists then.
 */
export const createRequestReader = (): ReadStreamRequest => {
  const remembered: Remembered[] = [];
  let lastSmall: Remembered | undefined;
  const small = (bytes: Uint8Array): StreamRequest => {
    // What all acknowledge that were sent the same push.
    if (lastSmall?.bytes.equals(bytes)) return lastSmall.request;
    const request = deltaRequest(bytes);
    if (!request.node && request.error === undefined) lastSmall = { bytes: Buffer.from(bytes), request };
    return request;
  };
  return (mode, bytes) => {
    if (mode === "sotw") return sotwRequest(bytes);
    if (bytes.length < rememberedBytesMin) return small(bytes);
    if (bytes.length > rememberedBytesMax) return deltaRequest(bytes);
    const known = remembered.find((each) => each.bytes.equals(bytes));
    if (known) return known.request;
    const request = deltaRequest(bytes);
    // What says who asks is each one's own.
    if (request.node || request.error !== undefined) return request;
    if (remembered.length >= rememberedMax) remembered.shift();
    remembered.push({ bytes: Buffer.from(bytes), request });
    return request;
  };
};

const sotwRequest = (bytes: Uint8Array): StreamRequest => {
  const { versionInfo, node, resourceNames, typeUrl, responseNonce, errorDetail } = decodeDiscoveryRequest(bytes);
  return {
    mode: "sotw",
    typeUrl,
    node,
    nonce: responseNonce,
    error: errorDetail?.message,
    version: versionInfo,
    names: resourceNames,
  };
};

const deltaRequest = (bytes: Uint8Array): StreamRequest => {
  const plain = readPlainDeltaRequest(bytes);
  if (plain) return { mode: "delta", ...plain, error: undefined };
  const { node, typeUrl, subscribe, unsubscribe, initialVersions, responseNonce, errorDetail } =
    decodeDeltaRequest(bytes);
  return {
    mode: "delta",
    typeUrl,
    node,
    nonce: responseNonce,
    error: errorDetail?.message,
    subscribe,
    unsubscribe,
    initialVersions,
  };
};

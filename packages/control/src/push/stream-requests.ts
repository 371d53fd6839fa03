/** From the bytes of a discovery request to what a server stream takes. */
import { readDeltaAck } from "@weft/xds/delta-ack";
import { decodeDeltaRequest, decodeDiscoveryRequest } from "@weft/xds/discovery";
import type { StreamMode, StreamRequest } from "@weft/xds/stream-messages";

/** Throws an Error when the bytes are no such request. */
export const readStreamRequest = (mode: StreamMode, bytes: Uint8Array): StreamRequest =>
  mode === "delta" ? deltaRequest(bytes) : sotwRequest(bytes);

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

const noNames: readonly string[] = [];
const noVersions: ReadonlyMap<string, string> = new Map();

const deltaRequest = (bytes: Uint8Array): StreamRequest => {
  const ack = readDeltaAck(bytes);
  if (ack) {
    const { typeUrl, nonce } = ack;
    const nothing = { node: undefined, error: undefined, subscribe: noNames, unsubscribe: noNames };
    return { mode: "delta", typeUrl, nonce, initialVersions: noVersions, ...nothing };
  }
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

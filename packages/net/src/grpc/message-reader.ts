/** gRPC messages in and out of a stream of bytes: five bytes before each, a compression flag and the length. */
import { grpcStatus } from "@weft/core/grpc-status";
import { GrpcError } from "./status.ts";

const prefixBytes = 5;

/** The message as it goes on the wire, not compressed. */
export const frameMessage = (message: Uint8Array): Buffer => {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
};

/**
 * Gives the messages completed by each chunk, however the network cut them. Throws GrpcError for compressed messages
 * and such above the limit; nothing can be read after that.
 */
export const createMessageReader = (messageBytesMax: number): ((chunk: Buffer) => readonly Buffer[]) => {
  let chunks: Buffer[] = [];
  let held = 0;
  let needed = prefixBytes;

  const sizeAt = (bytes: Buffer, at: number): number => {
    if (bytes[at] !== 0) throw new GrpcError(grpcStatus.unimplemented, "compressed messages are not taken");
    const size = bytes.readUInt32BE(at + 1);
    if (size <= messageBytesMax) return size;
    throw new GrpcError(grpcStatus.resourceExhausted, `a message of ${size} bytes is over ${messageBytesMax}`);
  };

  return (chunk) => {
    // Most chunks of a control stream are one whole message.
    if (held === 0 && chunk.length >= prefixBytes && sizeAt(chunk, 0) === chunk.length - prefixBytes)
      return [chunk.subarray(prefixBytes)];
    chunks.push(chunk);
    held += chunk.length;
    if (held < needed) return [];
    const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks, held);
    const messages: Buffer[] = [];
    let at = 0;
    needed = prefixBytes;
    while (bytes.length - at >= prefixBytes) {
      const size = sizeAt(bytes, at);
      if (bytes.length - at - prefixBytes < size) {
        needed = prefixBytes + size;
        break;
      }
      messages.push(bytes.subarray(at + prefixBytes, at + prefixBytes + size));
      at += prefixBytes + size;
    }
    const rest = bytes.subarray(at);
    chunks = rest.length === 0 ? [] : [rest];
    held = rest.length;
    return messages;
  };
};

import { GRPC_STATUS } from "./status.ts";

/** Flag and length before each message (gRPC over HTTP/2, "Length-Prefixed-Message"). */
export const GRPC_PREFIX_BYTES = 5;

export interface GrpcMessage {
  readonly compressed: boolean;
  readonly bytes: Buffer;
}

/** The peer's messages cannot be read on. `status` is what the call ends with. */
export class GrpcFrameError extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.name = "GrpcFrameError";
    this.status = status;
  }
}

/** A message with its prefix, in one buffer. */
export const encodeGrpcFrame = (message: Uint8Array, compressed = false): Buffer => {
  const frame = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + message.length);
  frame[0] = compressed ? 1 : 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, GRPC_PREFIX_BYTES);
  return frame;
};

const FIRST_BYTES = 16 * 1024;

/** Cuts a stream of bytes into messages. Holds at most one unfinished message, never more of it than has come. */
export class GrpcFrameDecoder {
  private readonly bytesMax: number;
  private readonly prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
  private prefixBytes = 0;
  private length = 0;
  private body: Buffer | undefined;
  private bodyBytes = 0;

  /** Messages above `bytesMax` are refused. */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The messages that are whole with this chunk; they do not refer to it. Throws `GrpcFrameError`. */
  receive(chunk: Buffer): GrpcMessage[] {
    const messages: GrpcMessage[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.prefixBytes < GRPC_PREFIX_BYTES) {
        this.prefix[this.prefixBytes++] = chunk[at++]!;
        if (this.prefixBytes === GRPC_PREFIX_BYTES) this.begin();
      } else {
        at = this.fill(chunk, at);
      }
      if (this.prefixBytes === GRPC_PREFIX_BYTES && this.bodyBytes === this.length) messages.push(this.finishMessage());
    }
    return messages;
  }

  /** The stream has ended. Throws `GrpcFrameError` when it ended inside a message. */
  end(): void {
    if (this.prefixBytes > 0) throw new GrpcFrameError("the stream ended inside a message", GRPC_STATUS.internal);
  }

  private begin(): void {
    if (this.prefix[0]! > 1) throw new GrpcFrameError("unknown message flag", GRPC_STATUS.internal);
    this.length = this.prefix.readUInt32BE(1);
    if (this.length > this.bytesMax) {
      const text = `message of ${this.length} bytes, the limit is ${this.bytesMax}`;
      throw new GrpcFrameError(text, GRPC_STATUS.resourceExhausted);
    }
    this.body = Buffer.allocUnsafe(Math.min(this.length, FIRST_BYTES));
    this.bodyBytes = 0;
  }

  private fill(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.length - this.bodyBytes);
    const needed = this.bodyBytes + end - at;
    if (needed > this.body!.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.length, needed * 2));
      this.body!.copy(larger, 0, 0, this.bodyBytes);
      this.body = larger;
    }
    chunk.copy(this.body!, this.bodyBytes, at, end);
    this.bodyBytes = needed;
    return end;
  }

  private finishMessage(): GrpcMessage {
    const bytes = this.body!;
    this.prefixBytes = 0;
    this.body = undefined;
    return { compressed: this.prefix[0] === 1, bytes };
  }
}

import { readUint32 } from "./output.ts";
import {
  CLIENT_PREFACE,
  FLAG,
  FRAME,
  FRAME_BYTES_MAX,
  FRAME_HEADER_BYTES,
  H2_ERROR,
  STREAM_ID_MAX,
} from "./protocol.ts";

const preface = Buffer.from(CLIENT_PREFACE, "latin1");

/** A frame's header as it was read. */
export interface FrameHeader {
  type: number;
  flags: number;
  streamId: number;
  /** Payload bytes, padding included. */
  length: number;
}

/** What a connection does with frames. Buffers are good during the call only. */
export interface FrameHandler {
  /** True when nothing more is to be read. */
  readonly dead: boolean;
  /** Streams whose RST_STREAM is in the chunk that is being read, behind what is read now. */
  readonly resetsAhead: Set<number>;
  /** A whole frame of any type but DATA; its payload is `source[start, start + length)`. */
  onFrame(header: FrameHeader, source: Buffer, start: number): void;
  /** A DATA frame begins with `dataBytes` of data (and padding, up to `header.length`). */
  onDataFrame(header: FrameHeader, dataBytes: number): void;
  /** Some of its data. `last` for the end of the frame's data. */
  onDataChunk(chunk: Buffer, last: boolean): void;
  onBadFrame(code: number, reason: string): void;
}

/**
 * Cuts a byte stream into frames. DATA is passed on as it comes; other frames are joined when the network cut them.
 */
export class FrameReader {
  private readonly handler: FrameHandler;
  private readonly header: FrameHeader = { type: 0, flags: 0, streamId: 0, length: 0 };
  private prefaceLeft: number;
  private dataLeft = 0;
  private paddingLeft = 0;
  private held: Buffer | undefined;
  private heldBytes = 0;

  constructor(handler: FrameHandler, expectsPreface: boolean) {
    this.handler = handler;
    this.prefaceLeft = expectsPreface ? preface.length : 0;
  }

  receive(chunk: Buffer): void {
    let at = this.prefaceLeft > 0 ? this.readPreface(chunk) : 0;
    const end = chunk.length;
    const { resetsAhead } = this.handler;
    this.findResets(chunk, at, resetsAhead);
    while (at < end && !this.handler.dead) {
      if (this.dataLeft > 0) {
        at = this.readData(chunk, at);
      } else if (this.paddingLeft > 0) {
        const skipped = Math.min(this.paddingLeft, end - at);
        this.paddingLeft -= skipped;
        at += skipped;
      } else if (this.heldBytes > 0) {
        at = this.readHeld(chunk, at);
      } else {
        at = this.readFrame(chunk, at);
      }
    }
    if (resetsAhead.size > 0) resetsAhead.clear();
  }

  /** Looks at the frame headers of a chunk before any is read; a frame cut at its beginning or end is passed over. */
  private findResets(chunk: Buffer, from: number, found: Set<number>): void {
    if (this.heldBytes > 0 && this.held!.length <= FRAME_HEADER_BYTES + 1) return;
    const skipped = this.heldBytes > 0 ? this.held!.length - this.heldBytes : this.dataLeft + this.paddingLeft;
    let at = from + skipped;
    while (at + FRAME_HEADER_BYTES + 4 <= chunk.length) {
      const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
      if (chunk[at + 3] === FRAME.rstStream && length === 4) found.add(readUint32(chunk, at + 5) & STREAM_ID_MAX);
      at += FRAME_HEADER_BYTES + length;
    }
  }

  private readPreface(chunk: Buffer): number {
    const count = Math.min(this.prefaceLeft, chunk.length);
    const from = preface.length - this.prefaceLeft;
    if (preface.compare(chunk, 0, count, from, from + count) !== 0) {
      this.handler.onBadFrame(H2_ERROR.protocolError, "not the HTTP/2 preface");
    }
    this.prefaceLeft -= count;
    return count;
  }

  private readData(chunk: Buffer, at: number): number {
    const count = Math.min(this.dataLeft, chunk.length - at);
    this.dataLeft -= count;
    this.handler.onDataChunk(chunk.subarray(at, at + count), this.dataLeft === 0);
    return at + count;
  }

  /** The frame at `at`; what is there of it is held when it is not whole. */
  private readFrame(chunk: Buffer, at: number): number {
    const available = chunk.length - at;
    const needed = this.neededBytes(chunk, at, available);
    if (needed < 0) return chunk.length;
    if (available < needed) {
      this.held = Buffer.allocUnsafe(needed);
      this.heldBytes = chunk.copy(this.held, 0, at);
      return chunk.length;
    }
    this.dispatch(chunk, at);
    return at + needed;
  }

  private readHeld(chunk: Buffer, at: number): number {
    let held = this.held!;
    const copied = chunk.copy(held, this.heldBytes, at);
    this.heldBytes += copied;
    if (this.heldBytes < held.length) return at + copied;
    const needed = this.neededBytes(held, 0, held.length);
    if (needed < 0) return chunk.length;
    if (needed > held.length) {
      const larger = Buffer.allocUnsafe(needed);
      held.copy(larger);
      held = larger;
      this.held = held;
      return at + copied;
    }
    this.held = undefined;
    this.heldBytes = 0;
    this.dispatch(held, 0);
    return at + copied;
  }

  /** How many bytes from `at` on must be there to go on; fills `header` when that is known. -1 for a bad frame. */
  private neededBytes(source: Buffer, at: number, available: number): number {
    if (available < FRAME_HEADER_BYTES) return FRAME_HEADER_BYTES;
    const header = this.header;
    header.length = (source[at]! << 16) | (source[at + 1]! << 8) | source[at + 2]!;
    header.type = source[at + 3]!;
    header.flags = source[at + 4]!;
    header.streamId = readUint32(source, at + 5) & STREAM_ID_MAX;
    if (header.length > FRAME_BYTES_MAX) {
      this.handler.onBadFrame(H2_ERROR.frameSizeError, "frame larger than SETTINGS_MAX_FRAME_SIZE");
      return -1;
    }
    if (header.type !== FRAME.data) return FRAME_HEADER_BYTES + header.length;
    return header.flags & FLAG.padded && header.length > 0 ? FRAME_HEADER_BYTES + 1 : FRAME_HEADER_BYTES;
  }

  private dispatch(source: Buffer, at: number): void {
    const { header, handler } = this;
    if (header.type !== FRAME.data) {
      handler.onFrame(header, source, at + FRAME_HEADER_BYTES);
      return;
    }
    let dataBytes = header.length;
    if (header.flags & FLAG.padded) {
      if (header.length === 0 || source[at + FRAME_HEADER_BYTES]! >= header.length) {
        handler.onBadFrame(H2_ERROR.protocolError, "padding longer than its frame");
        return;
      }
      this.paddingLeft = source[at + FRAME_HEADER_BYTES]!;
      dataBytes = header.length - 1 - this.paddingLeft;
    }
    this.dataLeft = dataBytes;
    handler.onDataFrame(header, dataBytes);
  }
}

import { FRAME_HEADER_BYTES } from "./protocol.ts";

const BUFFER_BYTES = 64 * 1024;
const FREE_MAX = 64;
const NONE: readonly Buffer[] = [];

/** Buffers of one size for output, used over and over. One pool serves all connections of a thread. */
export class OutputBuffers {
  private readonly free: Buffer[] = [];

  take(bytes: number): Buffer {
    if (bytes > BUFFER_BYTES) return Buffer.allocUnsafeSlow(bytes);
    return this.free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  give(buffer: Buffer): void {
    if (buffer.length === BUFFER_BYTES && this.free.length < FREE_MAX) this.free.push(buffer);
  }
}

/**
 * Frames on their way out. They are written behind one another into one buffer, so that a turn of the event loop ends
 * in one write; large chunks go between by reference.
 */
export class OutputQueue {
  /** Bytes nobody has taken yet. */
  bytes = 0;
  /** Frames among them that are only there because the peer made us send them. */
  controlFrames = 0;
  /** Where the next byte goes in `buffer`. Good after `room`. */
  at = 0;
  private current: Buffer | undefined;
  private from = 0;
  /** Made when there is something, and not before: one that grows old while it is empty keeps its first bytes alive. */
  private done: Buffer[] | undefined = undefined;
  /** Whole buffers that `done` is made of, and those of batches that were taken. */
  private readonly filled: Buffer[] = [];
  private readonly inFlight: Buffer[] = [];
  private readonly buffers: OutputBuffers;
  private readonly onOutput: () => void;

  constructor(buffers: OutputBuffers, onOutput: () => void) {
    this.buffers = buffers;
    this.onOutput = onOutput;
  }

  /** The buffer with at least `bytes` of room at `at`. What is written there counts after `advance`. */
  room(bytes: number): Buffer {
    const current = this.current;
    if (current !== undefined && current.length - this.at >= bytes) return current;
    this.closeBuffer();
    const fresh = this.buffers.take(bytes);
    this.current = fresh;
    this.at = 0;
    this.from = 0;
    return fresh;
  }

  /** Takes the bytes up to `end` as written. */
  advance(end: number): void {
    const first = this.bytes === 0;
    this.bytes += end - this.at;
    this.at = end;
    if (first) this.onOutput();
  }

  /** Writes a frame's header with room for its payload behind; the caller writes that and calls `advance`. */
  frame(type: number, flags: number, streamId: number, payloadBytes: number): Buffer {
    const out = this.room(FRAME_HEADER_BYTES + payloadBytes);
    this.header((type << 8) | flags, streamId, payloadBytes);
    return out;
  }

  /** Writes a frame's header at `at`, where there must be room; type in the high byte, flags in the low one. */
  header(typeAndFlags: number, streamId: number, payloadBytes: number): void {
    const out = this.current!;
    const { at } = this;
    out[at] = payloadBytes >>> 16;
    out[at + 1] = payloadBytes >>> 8;
    out[at + 2] = payloadBytes;
    out[at + 3] = typeAndFlags >>> 8;
    out[at + 4] = typeAndFlags;
    putUint32(out, at + 5, streamId);
  }

  /** Puts `chunk` itself behind what is written; it must not change any more. */
  reference(chunk: Buffer): void {
    this.cut();
    this.append(chunk);
    this.bytes += chunk.length;
  }

  /** As `reference`, of frames that are whole, so that nothing has to come before them. */
  whole(frames: Buffer): void {
    const first = this.bytes === 0;
    this.reference(frames);
    if (first) this.onOutput();
  }

  /** All output so far, in order. The buffers are the caller's until `written`. */
  take(): readonly Buffer[] {
    if (this.bytes === 0) return NONE;
    this.closeBuffer();
    const taken = this.done ?? NONE;
    this.done = undefined;
    for (const buffer of this.filled) this.inFlight.push(buffer);
    this.filled.length = 0;
    this.bytes = 0;
    this.controlFrames = 0;
    return taken;
  }

  /** All that was taken has left the process: the buffers are used again. */
  written(): void {
    for (const buffer of this.inFlight) this.buffers.give(buffer);
    this.inFlight.length = 0;
  }

  private cut(): void {
    if (this.current === undefined || this.at === this.from) return;
    this.append(this.current.subarray(this.from, this.at));
    this.from = this.at;
  }

  private append(bytes: Buffer): void {
    if (this.done === undefined) this.done = [bytes];
    else this.done.push(bytes);
  }

  private closeBuffer(): void {
    if (this.current === undefined) return;
    this.cut();
    this.filled.push(this.current);
    this.current = undefined;
  }
}

/** Big-endian, as everything in HTTP/2. */
export const putUint32 = (out: Buffer, at: number, value: number): void => {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
};

export const readUint32 = (source: Buffer, at: number): number => {
  const low = (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!;
  return source[at]! * 0x1_00_00_00 + low;
};

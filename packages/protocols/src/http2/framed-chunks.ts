import { putUint32 } from "./output.ts";
import { FRAME, FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "./protocol.ts";

/** Smaller chunks are one frame, and larger ones are not held twice. */
const BYTES_MAX = 1024 * 1024;

interface Framed {
  readonly streamId: number;
  /** Made when the chunk comes again. */
  frames: Buffer | undefined;
}

/**
 * DATA frames of chunks that are sent on many connections, as what a server pushes to all of its clients is: their first
 * streams have one number, so the bytes are the same on each connection.
 */
export class FramedChunks {
  private readonly known = new WeakMap<Buffer, Framed>();

  /** The chunk's frames, none of them the stream's last; `undefined` where the chunk is better cut for itself. */
  of(chunk: Buffer, streamId: number): Buffer | undefined {
    if (chunk.length <= FRAME_BYTES_MAX || chunk.length > BYTES_MAX) return undefined;
    const known = this.known.get(chunk);
    if (known === undefined) {
      this.known.set(chunk, { streamId, frames: undefined });
      return undefined;
    }
    if (known.streamId !== streamId) return undefined;
    known.frames ??= framesOf(chunk, streamId);
    return known.frames;
  }
}

const framesOf = (chunk: Buffer, streamId: number): Buffer => {
  const count = Math.ceil(chunk.length / FRAME_BYTES_MAX);
  const frames = Buffer.allocUnsafeSlow(chunk.length + count * FRAME_HEADER_BYTES);
  let to = 0;
  for (let at = 0; at < chunk.length; at += FRAME_BYTES_MAX) {
    const bytes = Math.min(FRAME_BYTES_MAX, chunk.length - at);
    putUint32(frames, to, bytes << 8);
    frames[to + 3] = FRAME.data;
    frames[to + 4] = 0;
    putUint32(frames, to + 5, streamId);
    chunk.copy(frames, to + FRAME_HEADER_BYTES, at, at + bytes);
    to += FRAME_HEADER_BYTES + bytes;
  }
  return frames;
};

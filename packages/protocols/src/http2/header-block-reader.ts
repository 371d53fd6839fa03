import type { FrameHeader } from "./frame-reader.ts";
import { readUint32 } from "./output.ts";
import { FLAG, FRAME_BYTES_MAX, H2_ERROR, STREAM_ID_MAX } from "./protocol.ts";
import type { ConnectionState } from "./state.ts";

/** Joins HEADERS and CONTINUATION into a block and decodes it into the workspace's block. */
export class HeaderBlockReader {
  /** A block has begun and not ended: only its CONTINUATION may come. */
  open = false;
  /** When it began. */
  openedMs = 0;
  streamId = 0;
  endStream = false;
  /** It came with a priority that makes the stream depend on itself (RFC 7540 section 5.3.1). */
  selfDependent = false;
  private frames = 0;
  private joined: Buffer | undefined;
  private joinedBytes = 0;
  private readonly state: ConnectionState;

  constructor(state: ConnectionState) {
    this.state = state;
  }

  /** A HEADERS frame. True when the block is whole and decoded. */
  begin(header: FrameHeader, source: Buffer, start: number): boolean {
    const { state } = this;
    const { flags, streamId, length } = header;
    let from = start;
    let end = start + length;
    if (streamId === 0) return this.fail(H2_ERROR.protocolError, "HEADERS on stream 0");
    if (flags & FLAG.padded) {
      if (length === 0) return this.fail(H2_ERROR.frameSizeError, "HEADERS without its padding length");
      end -= source[from++]!;
    }
    this.selfDependent = false;
    if (flags & FLAG.priority) {
      if (end - from < 5) return this.fail(H2_ERROR.frameSizeError, "HEADERS without its priority");
      this.selfDependent = (readUint32(source, from) & STREAM_ID_MAX) === streamId;
      from += 5;
    }
    if (from > end) return this.fail(H2_ERROR.protocolError, "padding longer than its frame");
    this.streamId = streamId;
    this.endStream = (flags & FLAG.endStream) !== 0;
    if (flags & FLAG.endHeaders) return this.decode(source, from, end);
    this.open = true;
    this.openedMs = state.nowMs();
    this.frames = 0;
    this.joined = Buffer.allocUnsafe(Math.max(FRAME_BYTES_MAX / 4, (end - from) * 2));
    this.joinedBytes = source.copy(this.joined, 0, from, end);
    return false;
  }

  /** Its CONTINUATION. True when the block is whole and decoded. */
  continue(header: FrameHeader, source: Buffer, start: number): boolean {
    const { limits } = this.state;
    const total = this.joinedBytes + header.length;
    if (++this.frames > limits.continuationFrames || total > limits.headerBlockBytes) {
      this.state.flood("header-block", "header block without end");
      return false;
    }
    let joined = this.joined!;
    if (total > joined.length) {
      joined = Buffer.allocUnsafe(Math.min(limits.headerBlockBytes, total * 2));
      this.joined!.copy(joined, 0, 0, this.joinedBytes);
      this.joined = joined;
    }
    source.copy(joined, this.joinedBytes, start, start + header.length);
    this.joinedBytes = total;
    if ((header.flags & FLAG.endHeaders) === 0) return false;
    this.open = false;
    this.joined = undefined;
    return this.decode(joined, 0, total);
  }

  private decode(source: Buffer, start: number, end: number): boolean {
    const { state } = this;
    const { block } = state.workspace;
    block.bytesMax = state.limits.headerBytes;
    block.fieldsMax = state.limits.headerCount;
    if (state.decoder.decode(source, start, end, block)) return true;
    return this.fail(H2_ERROR.compressionError, "broken header block");
  }

  private fail(code: number, reason: string): false {
    this.state.fail(code, reason);
    return false;
  }
}

import { blockBound } from "../hpack/encoder.ts";
import type { RequestHead, ResponseHead } from "../http/head.ts";
import { HeaderList } from "../http/headers.ts";
import { FLAG, FRAME, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, H2_ERROR } from "./protocol.ts";
import type { ConnectionState } from "./state.ts";
import type { Http2Stream } from "./stream.ts";

const EMPTY = Buffer.alloc(0);
const PSEUDO_CHARS = 64;
/** From here on a chunk that may be kept goes out by reference; below, copying is cheaper than another buffer. */
const REFERENCE_BYTES_MIN = 2048;
const LINE_SLACK = 64;
/** A peer may well open both windows after each frame, in two halves. */
const WINDOW_UPDATES_PER_DATA = 4;

/** A body chunk to send: `owned` when it never changes again and may be kept without a copy. */
interface Outgoing {
  chunk: Buffer;
  at: number;
  endStream: boolean;
  owned: boolean;
}

/** Writes messages: header blocks, DATA within both windows, and the line of streams that wait for room. */
export class Sender {
  private readonly state: ConnectionState;
  private readonly line: Http2Stream[] = [];
  private lineAt = 0;
  private pumping = false;
  private readonly outgoing: Outgoing = { chunk: EMPTY, at: 0, endStream: false, owned: false };

  constructor(state: ConnectionState) {
    this.state = state;
  }

  request(stream: Http2Stream, head: RequestHead, endStream: boolean): void {
    const chars = head.method.length + head.scheme.length + head.authority.length + head.path.length;
    const out = this.openBlock(head.headers, chars + head.protocol.length);
    const encoder = this.state.encoder;
    encoder.begin(out, this.state.out.at + FRAME_HEADER_BYTES);
    encoder.field(":method", head.method);
    const plainConnect = head.method === "CONNECT" && head.protocol === "";
    if (!plainConnect) encoder.field(":scheme", head.scheme);
    if (head.authority !== "") encoder.field(":authority", head.authority);
    if (!plainConnect) encoder.field(":path", head.path);
    if (head.protocol !== "") encoder.field(":protocol", head.protocol);
    encoder.fields(head.headers);
    stream.headSent = true;
    this.closeBlock(stream, out, endStream);
  }

  response(stream: Http2Stream, head: ResponseHead, endStream: boolean): void {
    const out = this.openBlock(head.headers, 3);
    const encoder = this.state.encoder;
    encoder.begin(out, this.state.out.at + FRAME_HEADER_BYTES);
    encoder.field(":status", String(head.status));
    encoder.fields(head.headers);
    stream.headSent = head.status >= 200;
    this.closeBlock(stream, out, endStream);
  }

  /** True when the stream has nothing left waiting; false says that `onWritable` will come. */
  data(stream: Http2Stream, chunk: Buffer, endStream: boolean, owned: boolean): boolean {
    if (endStream) stream.localEnding = true;
    const outgoing = this.outgoing;
    outgoing.chunk = chunk;
    outgoing.at = 0;
    outgoing.endStream = endStream;
    outgoing.owned = owned;
    if (stream.queuedBytes > 0) return this.enqueue(stream, outgoing);
    if (chunk.length === 0) {
      if (endStream) this.writeData(stream, outgoing, 0);
      return true;
    }
    if (owned && !endStream && this.writeFramed(stream, chunk)) return true;
    const id = stream.id;
    while (outgoing.at < chunk.length) {
      const count = this.sendable(stream, chunk.length - outgoing.at);
      if (count <= 0) return this.enqueue(stream, outgoing);
      this.writeData(stream, outgoing, count);
      if (!stream.is(this.state, id)) return true;
    }
    return true;
  }

  /** Ends our side with trailers, behind what waits. */
  trailers(stream: Http2Stream, trailers: HeaderList): void {
    stream.localEnding = true;
    if (stream.queuedBytes === 0) {
      this.writeTrailers(stream, trailers);
      return;
    }
    const kept = new HeaderList();
    kept.copyFrom(trailers);
    stream.queuedTrailers = kept;
  }

  /** The stream's own window opened. */
  streamOpened(stream: Http2Stream): void {
    if (stream.queuedBytes === 0 || stream.sendWindow <= 0) return;
    this.standInLine(stream);
    this.pump();
  }

  /** Sends for the waiting streams in turn, a frame each, until a bound is met. */
  pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    const { state } = this;
    while (this.lineAt < this.line.length && state.sendWindow > 0 && !state.dead && !this.isFull()) {
      const stream = this.line[this.lineAt++]!;
      // One that ended while it stood in line may be another connection's by now.
      if (stream.owner !== state) continue;
      stream.inLine = false;
      if (stream.queuedBytes > 0) this.sendWaiting(stream);
    }
    if (this.lineAt === this.line.length || this.lineAt > LINE_SLACK) {
      this.line.splice(0, this.lineAt);
      this.lineAt = 0;
    }
    this.pumping = false;
  }

  private sendWaiting(stream: Http2Stream): void {
    const id = stream.id;
    const chunk = stream.queue![0]!;
    const count = this.sendable(stream, chunk.length - stream.queueAt);
    if (count <= 0) return;
    const { outgoing } = this;
    outgoing.chunk = chunk;
    outgoing.at = stream.queueAt;
    outgoing.owned = true;
    stream.queueAt += count;
    stream.queuedBytes -= count;
    if (stream.queueAt === chunk.length) {
      stream.queue!.shift();
      stream.queueAt = 0;
    }
    const last = stream.queuedBytes === 0;
    outgoing.endStream = last && stream.localEnding && stream.queuedTrailers === undefined;
    this.writeData(stream, outgoing, count);
    if (!stream.is(this.state, id)) return;
    if (!last) {
      if (stream.sendWindow > 0) this.standInLine(stream);
      return;
    }
    stream.queue = undefined;
    if (stream.queuedTrailers !== undefined) {
      this.writeTrailers(stream, stream.queuedTrailers);
    } else if (stream.wantsWritable) {
      stream.wantsWritable = false;
      if (!stream.localEnding) this.state.sink.onWritable(id);
    }
  }

  private enqueue(stream: Http2Stream, outgoing: Outgoing): false {
    const rest = outgoing.chunk.subarray(outgoing.at);
    stream.wantsWritable = true;
    if (rest.length === 0) return false;
    if (stream.queuedBytes + rest.length > this.state.limits.streamQueueBytes) {
      this.state.writeReset(stream.id, H2_ERROR.internalError);
      this.state.abandon(stream, H2_ERROR.internalError, "self");
      return false;
    }
    stream.queue ??= [];
    stream.queue.push(outgoing.owned ? rest : Buffer.from(rest));
    stream.queuedBytes += rest.length;
    if (stream.sendWindow > 0) this.standInLine(stream);
    return false;
  }

  private standInLine(stream: Http2Stream): void {
    if (stream.inLine) return;
    stream.inLine = true;
    this.line.push(stream);
  }

  private sendable(stream: Http2Stream, bytes: number): number {
    if (this.isFull()) return 0;
    const frameMax = Math.min(bytes, FRAME_BYTES_MAX);
    return Math.min(frameMax, stream.sendWindow, this.state.sendWindow);
  }

  private isFull(): boolean {
    return this.state.out.bytes >= this.state.limits.outputBytes;
  }

  private writeData(stream: Http2Stream, outgoing: Outgoing, count: number): void {
    const { state } = this;
    const { out } = state;
    const { chunk, at } = outgoing;
    const end = at + count;
    const flags = outgoing.endStream && end === chunk.length ? FLAG.endStream : 0;
    if (outgoing.owned && count >= REFERENCE_BYTES_MIN) {
      out.room(FRAME_HEADER_BYTES);
      out.header((FRAME.data << 8) | flags, stream.id, count);
      out.advance(out.at + FRAME_HEADER_BYTES);
      out.reference(chunk.subarray(at, end));
    } else {
      const buffer = out.frame(FRAME.data, flags, stream.id, count);
      if (count > 0) chunk.copy(buffer, out.at + FRAME_HEADER_BYTES, at, end);
      out.advance(out.at + FRAME_HEADER_BYTES + count);
    }
    state.windowBudget.give(WINDOW_UPDATES_PER_DATA);
    stream.sendWindow -= count;
    state.sendWindow -= count;
    outgoing.at = end;
    if (flags !== 0) this.localEnded(stream);
  }

  /** A chunk that others are sent too, where all of it may go now. */
  private writeFramed(stream: Http2Stream, chunk: Buffer): boolean {
    const { state } = this;
    const { out } = state;
    const room = Math.min(stream.sendWindow, state.sendWindow, state.limits.outputBytes - out.bytes);
    if (chunk.length > room) return false;
    const frames = state.workspace.framed.of(chunk, stream.id);
    if (frames === undefined) return false;
    out.whole(frames);
    state.windowBudget.give(WINDOW_UPDATES_PER_DATA * Math.ceil(chunk.length / FRAME_BYTES_MAX));
    stream.sendWindow -= chunk.length;
    state.sendWindow -= chunk.length;
    return true;
  }

  private writeTrailers(stream: Http2Stream, trailers: HeaderList): void {
    stream.queuedTrailers = undefined;
    const out = this.openBlock(trailers, 0);
    this.state.encoder.begin(out, this.state.out.at + FRAME_HEADER_BYTES);
    this.state.encoder.fields(trailers);
    this.closeBlock(stream, out, true);
  }

  private openBlock(headers: HeaderList, pseudoChars: number): Buffer {
    return this.state.out.room(FRAME_HEADER_BYTES + blockBound(headers, pseudoChars + PSEUDO_CHARS));
  }

  private closeBlock(stream: Http2Stream, buffer: Buffer, endStream: boolean): void {
    const { out } = this.state;
    const flags = endStream ? FLAG.endStream : 0;
    const start = out.at + FRAME_HEADER_BYTES;
    const end = this.state.encoder.end();
    if (end - start <= FRAME_BYTES_MAX) {
      out.header((FRAME.headers << 8) | flags | FLAG.endHeaders, stream.id, end - start);
      out.advance(end);
    } else {
      this.splitBlock(stream.id, Buffer.from(buffer.subarray(start, end)), flags);
    }
    if (endStream) {
      stream.localEnding = true;
      this.localEnded(stream);
    }
  }

  private splitBlock(id: number, block: Buffer, headerFlags: number): void {
    const { out } = this.state;
    for (let at = 0; at < block.length; at += FRAME_BYTES_MAX) {
      const part = block.subarray(at, at + FRAME_BYTES_MAX);
      const last = at + part.length === block.length ? FLAG.endHeaders : 0;
      const type = at === 0 ? FRAME.headers : FRAME.continuation;
      const buffer = out.frame(type, (at === 0 ? headerFlags : 0) | last, id, part.length);
      part.copy(buffer, out.at + FRAME_HEADER_BYTES);
      out.advance(out.at + FRAME_HEADER_BYTES + part.length);
    }
  }

  /**
   * END_STREAM is out. A server that has answered wants no more of the request (RFC 9113 section 8.1): the stream is
   * reset, else a peer that never ends would hold it for ever. Tunnels end each way alone.
   */
  private localEnded(stream: Http2Stream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) {
      this.state.finish(stream);
    } else if (this.state.server && !stream.tunnel) {
      this.state.writeReset(stream.id, H2_ERROR.noError);
      this.state.finish(stream);
    }
  }
}

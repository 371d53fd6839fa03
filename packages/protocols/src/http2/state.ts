import { HpackDecoder } from "../hpack/decoder.ts";
import { HpackEncoder } from "../hpack/encoder.ts";
import type { UnderscoreNames } from "../http1/framing-fields.ts";
import { Budget } from "./budget.ts";
import type { Http2Flood, Http2Limits } from "./limits.ts";
import { OutputQueue, putUint32 } from "./output.ts";
import { FRAME, FRAME_HEADER_BYTES, H2_ERROR, WINDOW_FIRST } from "./protocol.ts";
import { type Http2Settings, PeerSettings } from "./settings.ts";
import type { Http2ClientSink, Http2ServerSink, Http2Sink, ResetCause } from "./sink.ts";
import type { Http2Stream } from "./stream.ts";
import type { Http2Workspace } from "./workspace.ts";

const RECENT_RESETS = 64;
const RECENT_ENDS = 16;

/** A connection's parts as its owner set them. */
export interface ConnectionParts {
  readonly limits: Http2Limits;
  readonly settings: Http2Settings;
  readonly workspace: Http2Workspace;
  readonly nowMs: () => number;
  readonly serverSink: Http2ServerSink | undefined;
  readonly clientSink: Http2ClientSink | undefined;
  readonly underscoreNames: UnderscoreNames | undefined;
}

/** What both directions of a connection share: streams, windows, budgets, and the ways a stream or all of it ends. */
export class ConnectionState {
  readonly server: boolean;
  readonly limits: Http2Limits;
  readonly local: Http2Settings;
  readonly peer = new PeerSettings();
  readonly workspace: Http2Workspace;
  readonly nowMs: () => number;
  readonly sink: Http2Sink;
  readonly serverSink: Http2ServerSink | undefined;
  readonly clientSink: Http2ClientSink | undefined;
  readonly underscoreNames: UnderscoreNames | undefined;
  readonly out: OutputQueue;
  readonly encoder = new HpackEncoder();
  readonly decoder: HpackDecoder;
  readonly streams = new Map<number, Http2Stream>();
  readonly resetBudget: Budget;
  readonly pingBudget: Budget;
  readonly windowBudget: Budget;
  /** Bytes we may still send, and the peer may, on all streams together. */
  sendWindow = WINDOW_FIRST;
  receiveWindow = WINDOW_FIRST;
  /** What a stream's receive window begins with: our setting counts once it is acknowledged. */
  streamWindow = WINDOW_FIRST;
  /** The highest stream the peer opened. */
  lastPeerId = 0;
  nextId = 1;
  /** Streams above were never promised an answer by us (our GOAWAY). */
  refusedAbove = Number.POSITIVE_INFINITY;
  /** No new streams from us: the peer said GOAWAY, we did, or ids ran out. */
  closing = false;
  /** Both sides agreed to end: the last stream ends the connection. */
  draining = false;
  dead = false;
  private credit = 0;
  /** Most connections never have one. */
  private recentResets: Int32Array | undefined;
  private resetCount = 0;
  private recentEnds: Int32Array | undefined;
  private endCount = 0;

  constructor(parts: ConnectionParts) {
    this.server = parts.serverSink !== undefined;
    this.limits = parts.limits;
    this.local = parts.settings;
    this.workspace = parts.workspace;
    this.nowMs = parts.nowMs;
    this.serverSink = parts.serverSink;
    this.clientSink = parts.clientSink;
    this.underscoreNames = parts.underscoreNames;
    const sink = parts.serverSink ?? parts.clientSink;
    if (sink === undefined) throw new TypeError("a connection needs a sink");
    this.sink = sink;
    this.out = new OutputQueue(parts.workspace.buffers, () => sink.onOutput());
    this.decoder = new HpackDecoder(parts.workspace.memo);
    this.resetBudget = new Budget(parts.limits.resets, parts.nowMs);
    this.pingBudget = new Budget(parts.limits.pings, parts.nowMs);
    this.windowBudget = new Budget(parts.limits.windowUpdates, parts.nowMs);
  }

  /** A stream the peer has not reached yet: frames on it, but HEADERS, break the protocol. */
  isIdle(id: number): boolean {
    if (this.server) return (id & 1) === 0 || id > this.lastPeerId;
    return (id & 1) === 0 || id >= this.nextId;
  }

  openStream(id: number): Http2Stream {
    const stream = this.workspace.takeStream();
    stream.open(this, id, this.peer.initialWindow, this.streamWindow);
    this.streams.set(id, stream);
    return stream;
  }

  /** We reset it lately; the peer may not know yet. */
  wasReset(id: number): boolean {
    return this.recentResets?.includes(id) === true;
  }

  /** Both sides ended it lately: the peer knows that it must not use it. */
  wasEnded(id: number): boolean {
    return this.recentEnds?.includes(id) === true;
  }

  /** Gives the peer room on the stream and the connection for bytes that were delivered. */
  consume(stream: Http2Stream, bytes: number): void {
    const count = Math.min(bytes, stream.unconsumed);
    stream.unconsumed -= count;
    this.creditConnection(count);
    this.creditStream(stream, count);
  }

  creditStream(stream: Http2Stream, bytes: number): void {
    if (stream.remoteEnded) return;
    stream.credit += bytes;
    if (stream.credit < this.local.streamWindow / 2) return;
    stream.receiveWindow += stream.credit;
    this.writeWord(FRAME.windowUpdate, stream.id, stream.credit);
    stream.credit = 0;
  }

  creditConnection(bytes: number): void {
    this.credit += bytes;
    if (this.credit < this.local.connectionWindow / 2) return;
    this.receiveWindow += this.credit;
    this.writeWord(FRAME.windowUpdate, 0, this.credit);
    this.credit = 0;
  }

  /** A frame of four bytes: RST_STREAM or WINDOW_UPDATE. */
  writeWord(type: number, streamId: number, value: number): void {
    if (this.dead) return;
    const out = this.out.frame(type, 0, streamId, 4);
    putUint32(out, this.out.at + FRAME_HEADER_BYTES, value);
    this.out.advance(this.out.at + FRAME_HEADER_BYTES + 4);
    this.countControl();
  }

  /** Counts a frame the peer made us send. A peer that makes us send but does not read is sent away. */
  countControl(): void {
    if (++this.out.controlFrames <= this.limits.controlFramesQueued) return;
    this.flood("control-output", "control frames are not read");
  }

  writeReset(id: number, code: number): void {
    this.recentResets ??= new Int32Array(RECENT_RESETS);
    this.recentResets[this.resetCount++ % RECENT_RESETS] = id;
    this.writeWord(FRAME.rstStream, id, code);
  }

  /** A stream error: what the peer did costs it the stream, and one of the resets it may cause. */
  streamError(id: number, code: number): void {
    this.writeReset(id, code);
    const stream = this.streams.get(id);
    if (stream !== undefined) this.abandon(stream, code, "self");
    this.countReset();
  }

  /** Counts a stream that the peer ended before its answer, or made us end. */
  countReset(): void {
    if (!this.dead && !this.resetBudget.take()) this.flood("resets", "too many streams reset");
  }

  /** Ends a stream before its time and tells the application, if it knows of it. */
  abandon(stream: Http2Stream, code: number, cause: ResetCause): void {
    const id = stream.id;
    const exposed = stream.exposed;
    this.forget(stream);
    if (exposed) {
      this.sink.onReset(id, code, cause);
      this.sink.onStreamEnd(id);
    }
    this.checkDrained();
  }

  /** Ends a stream whose sides have both ended. */
  finish(stream: Http2Stream): void {
    const id = stream.id;
    const exposed = stream.exposed;
    this.recentEnds ??= new Int32Array(RECENT_ENDS);
    this.recentEnds[this.endCount++ % RECENT_ENDS] = id;
    this.forget(stream);
    this.resetBudget.give(1);
    if (exposed) this.sink.onStreamEnd(id);
    this.checkDrained();
  }

  /** Resets a stream by the application's wish. */
  cancel(stream: Http2Stream, code: number): void {
    const { id, exposed } = stream;
    this.writeReset(id, code);
    this.forget(stream);
    if (exposed) this.sink.onStreamEnd(id);
    this.checkDrained();
  }

  /** Ends the connection: GOAWAY, then every stream. */
  fail(code: number, reason: string): void {
    if (this.dead) return;
    this.writeGoaway(this.lastPeerId, code);
    this.end(code, reason);
  }

  /** Ends the connection of a peer that passed a limit. */
  flood(what: Http2Flood, reason: string): void {
    if (this.dead) return;
    this.sink.onFlood?.(what);
    this.fail(H2_ERROR.enhanceYourCalm, reason);
  }

  /** Ends the connection without a word to the peer. */
  end(code: number, reason: string): void {
    if (this.dead) return;
    this.dead = true;
    this.closing = true;
    for (const stream of [...this.streams.values()]) this.abandon(stream, code, "connection");
    this.sink.onClosed(code, reason);
  }

  writeGoaway(lastStreamId: number, code: number): void {
    const out = this.out.frame(FRAME.goaway, 0, 0, 8);
    putUint32(out, this.out.at + FRAME_HEADER_BYTES, lastStreamId);
    putUint32(out, this.out.at + FRAME_HEADER_BYTES + 4, code);
    this.out.advance(this.out.at + FRAME_HEADER_BYTES + 8);
  }

  checkDrained(): void {
    if (!this.draining || this.streams.size > 0 || this.dead) return;
    this.end(H2_ERROR.noError, "drained");
  }

  private forget(stream: Http2Stream): void {
    this.streams.delete(stream.id);
    const unconsumed = stream.unconsumed;
    this.workspace.giveStream(stream);
    if (unconsumed > 0) this.creditConnection(unconsumed);
  }
}

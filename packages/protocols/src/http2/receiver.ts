import type { RequestHead, ResponseHead } from "../http/head.ts";
import { HeaderList } from "../http/headers.ts";
import { Budget } from "./budget.ts";
import type { ControlReceiver } from "./control-receiver.ts";
import type { FrameHandler, FrameHeader } from "./frame-reader.ts";
import { HeaderBlockReader } from "./header-block-reader.ts";
import { FLAG, FRAME, H2_ERROR } from "./protocol.ts";
import type { Sender } from "./sender.ts";
import type { ConnectionState } from "./state.ts";
import type { Http2Stream } from "./stream.ts";

const EMPTY = Buffer.alloc(0);
/** Why a request with more or larger header fields than allowed is refused. */
export const HEAD_TOO_LARGE = "header fields too large";
/** Why a request with an underscore in a field name is refused, where those are. */
export const UNDERSCORE_REFUSED = "underscore in a field name";

/** Turns frames into messages: judges each by the state of its stream, and ends what breaks the protocol. */
export class Receiver implements FrameHandler {
  readonly blocks: HeaderBlockReader;
  readonly resetsAhead = new Set<number>();
  private readonly state: ConnectionState;
  private readonly sender: Sender;
  private readonly control: ControlReceiver;
  private readonly emptyData: Budget;
  private dataStream: Http2Stream | undefined;
  private dataId = 0;
  private dataEnds = false;

  constructor(state: ConnectionState, sender: Sender, control: ControlReceiver) {
    this.state = state;
    this.sender = sender;
    this.control = control;
    this.blocks = new HeaderBlockReader(state);
    this.emptyData = new Budget(state.limits.emptyData, state.nowMs);
  }

  get dead(): boolean {
    return this.state.dead;
  }

  onBadFrame(code: number, reason: string): void {
    this.state.fail(code, reason);
  }

  onFrame(header: FrameHeader, source: Buffer, start: number): void {
    const { blocks, control } = this;
    if (!this.isInOrder(header)) return;
    switch (header.type) {
      case FRAME.headers:
        if (blocks.begin(header, source, start)) this.onBlock(blocks.streamId);
        break;
      case FRAME.continuation:
        if (blocks.continue(header, source, start)) this.onBlock(blocks.streamId);
        break;
      case FRAME.priority:
        control.onPriority(header, source, start);
        break;
      case FRAME.rstStream:
        control.onRstStream(header, source, start);
        break;
      case FRAME.settings:
        control.onSettings(header, source, start);
        break;
      case FRAME.pushPromise:
        this.state.fail(H2_ERROR.protocolError, "PUSH_PROMISE is not allowed");
        break;
      case FRAME.ping:
        control.onPing(header, source, start);
        break;
      case FRAME.goaway:
        control.onGoaway(header, source, start);
        break;
      case FRAME.windowUpdate:
        control.onWindowUpdate(header, source, start);
        break;
      default:
        control.countIgnored();
    }
  }

  onDataFrame(header: FrameHeader, dataBytes: number): void {
    const { state } = this;
    this.dataStream = undefined;
    if (!this.isInOrder(header)) return;
    const { streamId, length } = header;
    state.receiveWindow -= length;
    if (state.receiveWindow < 0) {
      state.fail(H2_ERROR.flowControlError, "connection window exceeded");
      return;
    }
    const stream = state.streams.get(streamId);
    if (stream === undefined) {
      state.creditConnection(length);
      this.onClosedStream(streamId);
      return;
    }
    const ends = (header.flags & FLAG.endStream) !== 0;
    const code = this.judgeData(stream, length, { dataBytes, ends });
    if (code !== H2_ERROR.noError) {
      state.creditConnection(length);
      state.streamError(streamId, code);
      return;
    }
    if (length > dataBytes) {
      state.creditConnection(length - dataBytes);
      state.creditStream(stream, length - dataBytes);
    }
    if (dataBytes > 0) {
      state.pingBudget.give(1);
      this.dataStream = stream;
      this.dataId = streamId;
      this.dataEnds = ends;
    } else if (ends) {
      stream.remoteEnded = true;
      if (stream.exposed) state.sink.onData(streamId, EMPTY, true);
      this.afterRemoteEnd(stream, streamId);
    } else if (!this.emptyData.take()) {
      state.flood("empty-data", "too many empty DATA frames");
    }
  }

  onDataChunk(chunk: Buffer, last: boolean): void {
    const stream = this.dataStream;
    if (stream === undefined) return;
    const id = this.dataId;
    if (!stream.is(this.state, id)) {
      this.state.creditConnection(chunk.length);
      return;
    }
    const ends = last && this.dataEnds;
    stream.unconsumed += chunk.length;
    if (ends) stream.remoteEnded = true;
    if (stream.exposed) this.state.sink.onData(id, chunk, ends);
    if (ends) this.afterRemoteEnd(stream, id);
  }

  private judgeData(stream: Http2Stream, length: number, data: { dataBytes: number; ends: boolean }): number {
    if (stream.remoteEnded) return H2_ERROR.streamClosed;
    if (!stream.headReceived) return H2_ERROR.protocolError;
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) return H2_ERROR.flowControlError;
    if (stream.bodyLeft >= 0) {
      stream.bodyLeft -= data.dataBytes;
      if (stream.bodyLeft < 0 || (data.ends && stream.bodyLeft > 0)) return H2_ERROR.protocolError;
    }
    return H2_ERROR.noError;
  }

  private isInOrder(header: FrameHeader): boolean {
    const { state, blocks } = this;
    if (!this.control.settingsReceived && (header.type !== FRAME.settings || header.flags & FLAG.ack)) {
      state.fail(H2_ERROR.protocolError, "the first frame is not SETTINGS");
      return false;
    }
    const continues = header.type === FRAME.continuation;
    if (blocks.open === continues && (!continues || blocks.streamId === header.streamId)) return true;
    state.fail(H2_ERROR.protocolError, "a header block is interrupted, or continued without a beginning");
    return false;
  }

  /** HEADERS or DATA on a stream that has no record (RFC 9113 section 5.1, "closed"). */
  private onClosedStream(id: number): void {
    const { state } = this;
    if (id === 0 || state.isIdle(id)) state.fail(H2_ERROR.protocolError, "frame on an idle stream");
    else if (state.wasReset(id) || id > state.refusedAbove) this.control.countIgnored();
    else if (state.wasEnded(id)) state.fail(H2_ERROR.streamClosed, "frame on a stream that has ended");
    else state.streamError(id, H2_ERROR.streamClosed);
  }

  private onBlock(id: number): void {
    const stream = this.state.streams.get(id);
    if (stream?.headReceived) this.onTrailers(stream);
    else if (this.state.server) this.onRequest(id);
    else if (stream !== undefined) this.onResponse(stream);
    else this.onClosedStream(id);
  }

  private onRequest(id: number): void {
    const { state } = this;
    if (id <= state.lastPeerId) {
      // Neither ended nor reset of late: it was skipped, or is long over (RFC 9113 section 5.1.1).
      if (state.wasReset(id) || state.wasEnded(id)) this.onClosedStream(id);
      else state.fail(H2_ERROR.protocolError, "HEADERS on an old stream");
      return;
    }
    if ((id & 1) === 0) {
      state.fail(H2_ERROR.protocolError, "a client's stream has an even id");
      return;
    }
    state.lastPeerId = id;
    if (id > state.refusedAbove) {
      this.control.countIgnored();
      return;
    }
    if (state.streams.size >= state.limits.concurrentStreams) {
      this.refuse(id);
      return;
    }
    if (state.out.bytes > state.limits.outputBytesMax) {
      state.flood("output", "answers are not read");
      return;
    }
    const { block, message } = state.workspace;
    const { endStream } = this.blocks;
    if (block.overflowed) {
      this.answerRefused(id, endStream, { status: 431, reason: HEAD_TOO_LARGE });
      return;
    }
    let problem = message.readRequest(block, state.local.connectProtocol);
    if (problem === "" && endStream && message.contentLength > 0) problem = "content-length without a body";
    if (problem === "" && this.blocks.selfDependent) problem = "a stream that depends on itself";
    if (problem !== "") {
      this.malformed(id, problem);
      return;
    }
    if (message.underscored && state.underscoreNames === "refuse") {
      this.answerRefused(id, endStream, { status: 400, reason: UNDERSCORE_REFUSED });
      return;
    }
    const stream = state.openStream(id);
    stream.headReceived = true;
    stream.remoteEnded = endStream;
    // Its end is here already: nobody is to work for it.
    if (this.resetsAhead.size > 0 && this.resetsAhead.has(id)) return;
    stream.exposed = true;
    stream.tunnel = message.method === "CONNECT";
    stream.bodyLeft = stream.tunnel ? -1 : message.contentLength;
    const sink = state.serverSink!;
    const head = sink.requestFor?.(id) ?? newRequestHead();
    message.fillRequest(block, head, state.underscoreNames);
    sink.onRequest(id, head, endStream);
  }

  private onResponse(stream: Http2Stream): void {
    const { state } = this;
    const { block, message } = state.workspace;
    const { id } = stream;
    const { endStream } = this.blocks;
    if (block.overflowed) {
      state.streamError(id, H2_ERROR.enhanceYourCalm);
      return;
    }
    let problem = message.readResponse(block);
    const { status } = message;
    if (problem === "" && status < 200 && endStream) problem = "interim response that ends the stream";
    if (status >= 200) {
      stream.headReceived = true;
      if (status >= 300) stream.tunnel = false;
      stream.bodyLeft = bodyLength(stream, status, message.contentLength);
      if (problem === "" && endStream && stream.bodyLeft > 0) problem = "content-length without a body";
    } else {
      this.control.countIgnored();
    }
    if (problem !== "") {
      this.malformed(id, problem);
      return;
    }
    if (state.dead) return;
    stream.remoteEnded = endStream;
    const sink = state.clientSink!;
    const head = sink.responseFor?.(id) ?? newResponseHead();
    message.fillResponse(block, head);
    sink.onResponse(id, head, endStream);
    if (endStream) this.afterRemoteEnd(stream, id);
  }

  private onTrailers(stream: Http2Stream): void {
    const { state } = this;
    const { id } = stream;
    if (stream.remoteEnded) {
      state.streamError(id, H2_ERROR.streamClosed);
      return;
    }
    const { block, message } = state.workspace;
    if (block.overflowed) {
      state.streamError(id, H2_ERROR.enhanceYourCalm);
      return;
    }
    let problem = message.readTrailers(block);
    if (!this.blocks.endStream) problem = "trailers that do not end the stream";
    else if (stream.bodyLeft > 0) problem = "body shorter than content-length";
    else if (stream.tunnel) problem = "trailers in a tunnel";
    else if (this.blocks.selfDependent) problem = "a stream that depends on itself";
    else if (message.underscored && state.underscoreNames === "refuse") problem = UNDERSCORE_REFUSED;
    if (problem !== "") {
      this.malformed(id, problem);
      return;
    }
    stream.remoteEnded = true;
    const trailers = state.sink.trailersFor?.(id) ?? new HeaderList();
    message.fillHeaders(block, trailers, state.underscoreNames);
    if (stream.exposed) state.sink.onTrailers(id, trailers);
    this.afterRemoteEnd(stream, id);
  }

  /** A client that has its answer stops sending (RFC 9113 section 8.1). */
  private afterRemoteEnd(stream: Http2Stream, id: number): void {
    if (!stream.is(this.state, id)) return;
    if (!stream.localEnded) {
      if (this.state.server || stream.tunnel) return;
      this.state.writeReset(id, H2_ERROR.noError);
    }
    this.state.finish(stream);
  }

  private malformed(id: number, problem: string): void {
    this.state.sink.onRefused?.(id, problem);
    this.state.streamError(id, H2_ERROR.protocolError);
  }

  /** More streams than allowed. Until it has our SETTINGS the peer cannot know, and pays nothing. */
  private refuse(id: number): void {
    if (this.control.settingsAcknowledged) this.state.streamError(id, H2_ERROR.refusedStream);
    else {
      this.state.writeReset(id, H2_ERROR.refusedStream);
      this.control.countIgnored();
    }
  }

  private answerRefused(
    id: number,
    endStream: boolean,
    why: { readonly status: number; readonly reason: string },
  ): void {
    this.state.sink.onRefused?.(id, why.reason);
    const stream = this.state.openStream(id);
    stream.headReceived = true;
    stream.remoteEnded = endStream;
    const head = newResponseHead();
    head.status = why.status;
    this.sender.response(stream, head, true);
  }
}

const bodyLength = (stream: Http2Stream, status: number, contentLength: number): number => {
  if (stream.tunnel) return -1;
  return stream.headRequest || status === 204 || status === 304 ? 0 : contentLength;
};

const newRequestHead = (): RequestHead => {
  return { method: "", scheme: "", authority: "", path: "", protocol: "", headers: new HeaderList() };
};

const newResponseHead = (): ResponseHead => ({ status: 0, headers: new HeaderList() });

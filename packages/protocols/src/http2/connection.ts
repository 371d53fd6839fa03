import type { RequestHead, ResponseHead } from "../http/head.ts";
import type { HeaderList } from "../http/headers.ts";
import type { UnderscoreNames } from "../http1/framing-fields.ts";
import { ControlReceiver, PING } from "./control-receiver.ts";
import { FrameReader } from "./frame-reader.ts";
import { type Http2Limits, http2Limits } from "./limits.ts";
import { putUint32 } from "./output.ts";
import {
  CLIENT_PREFACE,
  FRAME,
  FRAME_HEADER_BYTES,
  H2_ERROR,
  SETTING,
  STREAM_ID_MAX,
  WINDOW_FIRST,
} from "./protocol.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { type Http2Settings, http2Settings } from "./settings.ts";
import type { Http2ClientSink, Http2ServerSink } from "./sink.ts";
import { ConnectionState } from "./state.ts";
import { Http2Workspace } from "./workspace.ts";

/** Streams a client opens before the server has said how many it takes (RFC 9113 section 6.5.2 advises 100). */
const STREAMS_ASSUMED = 100;
const SHUTDOWN_GRACE_MS = 1000;
/** The reason a connection ends with when its peer does not answer the keepalive. */
export const KEEPALIVE_TIMEOUT = "keepalive timeout";

/** An owner that gives all of its connections the same has it made whole once. */
const wholeOnce = <T extends object>(rest: T): ((part: Partial<T> | undefined) => T) => {
  let [last, whole]: [Partial<T>, T] = [rest, rest];
  return (part) => {
    if (part === undefined) return rest;
    if (part !== last) [last, whole] = [part, { ...rest, ...part }];
    return whole;
  };
};
const limitsWith = wholeOnce(http2Limits);
const settingsWith = wholeOnce(http2Settings);

export interface Keepalive {
  /** Silence after which a PING is sent. */
  readonly intervalMs: number;
  /** How long its answer may take before the connection is given up. */
  readonly timeoutMs: number;
}

export type Http2Role =
  | { readonly role: "server"; readonly sink: Http2ServerSink }
  | { readonly role: "client"; readonly sink: Http2ClientSink };

export type Http2Options = Http2Role & {
  /** A clock that never goes back. */
  readonly nowMs: () => number;
  readonly limits?: Partial<Http2Limits>;
  readonly settings?: Partial<Http2Settings>;
  readonly keepalive?: Keepalive;
  /** Shared by the connections of a thread; its own when absent. */
  readonly workspace?: Http2Workspace;
  /** What becomes of such names in requests, as in HTTP/1; all are taken when absent. */
  readonly underscoreNames?: UnderscoreNames;
};

/**
 * One HTTP/2 connection without its socket (RFC 9113), either side, beginning with its preface (h2 or h2c with prior
 * knowledge). The driver feeds `receive`, writes what `takeOutput` gives after `onOutput` (once a turn of the loop for
 * the whole connection), tells `disconnected`, and calls `tick` at `deadlineMs`.
 *
 * - Ids of streams that are gone are accepted everywhere and do nothing: the application need not race the peer.
 * - A stream the application has seen ends with exactly one `onStreamEnd`.
 * - The peer may send as much as the stream's window; `consume` opens it again. What was not consumed when a stream
 *   ends is given back to the connection's window.
 * - A server's answer ends the request too: when it is out and the request has not ended, the stream is reset with
 *   NO_ERROR. A client does so when the answer ended first. CONNECT ends each way alone, unless refused.
 * - Headers go out at once; DATA waits for windows and for output space, in turn among the streams.
 * - Malformed messages, too many streams and too large heads never reach the application.
 */
export class Http2Connection {
  private readonly state: ConnectionState;
  private readonly sender: Sender;
  private readonly control: ControlReceiver;
  private readonly receiver: Receiver;
  private readonly reader: FrameReader;
  private readonly keepalive: Keepalive | undefined;
  private readonly startedMs: number;
  private heardMs: number;
  private pingSentMs = -1;
  private shutdownMs = -1;

  constructor(options: Http2Options) {
    const { role, sink, nowMs } = options;
    this.state = new ConnectionState({
      limits: limitsWith(options.limits),
      settings: settingsWith(options.settings),
      workspace: options.workspace ?? new Http2Workspace(),
      nowMs,
      serverSink: role === "server" ? sink : undefined,
      clientSink: role === "client" ? sink : undefined,
      underscoreNames: role === "server" ? options.underscoreNames : undefined,
    });
    this.sender = new Sender(this.state);
    this.control = new ControlReceiver(this.state, this.sender, (reason) => this.onPingAck(reason));
    this.receiver = new Receiver(this.state, this.sender, this.control);
    this.reader = new FrameReader(this.receiver, role === "server");
    this.keepalive = options.keepalive;
    this.startedMs = nowMs();
    this.heardMs = this.startedMs;
  }

  /** Writes preface and SETTINGS. Once, before anything else; a server may do it before the peer's first byte. */
  start(): void {
    const { state } = this;
    const { out, local, limits, server } = state;
    const values = [SETTING.initialWindowSize, local.streamWindow, SETTING.maxHeaderListSize, limits.headerBytes];
    if (server) values.push(SETTING.maxConcurrentStreams, limits.concurrentStreams);
    else values.push(SETTING.enablePush, 0);
    if (server && local.connectProtocol) values.push(SETTING.enableConnectProtocol, 1);
    if (local.headerTableSize !== 4096) values.push(SETTING.headerTableSize, local.headerTableSize);
    if (!server) {
      const buffer = out.room(CLIENT_PREFACE.length);
      out.advance(out.at + buffer.write(CLIENT_PREFACE, out.at, "latin1"));
    }
    const buffer = out.frame(FRAME.settings, 0, 0, (values.length / 2) * 6);
    let at = out.at + FRAME_HEADER_BYTES;
    for (let i = 0; i < values.length; i += 2) {
      const id = values[i]!;
      buffer[at] = id >>> 8;
      buffer[at + 1] = id;
      putUint32(buffer, at + 2, values[i + 1]!);
      at += 6;
    }
    out.advance(at);
    const extra = local.connectionWindow - WINDOW_FIRST;
    if (extra > 0) {
      state.receiveWindow += extra;
      state.writeWord(FRAME.windowUpdate, 0, extra);
    }
  }

  /** Bytes from the peer, in any cut. They are read, or copied, before this returns. */
  receive(chunk: Buffer): void {
    if (this.state.dead) return;
    if (this.keepalive !== undefined) {
      this.heardMs = this.state.nowMs();
    }
    this.reader.receive(chunk);
  }

  /** The socket is gone: every stream ends with cause `connection`. */
  disconnected(reason: string): void {
    this.state.end(H2_ERROR.connectError, reason);
  }

  /** What to write now, in order; empty when there is nothing. Call when the last batch is out, or mind the memory. */
  takeOutput(): readonly Buffer[] {
    const taken = this.state.out.take();
    // Streams that waited for output space go on; `onOutput` says so.
    this.sender.pump();
    return taken;
  }

  /** All that was taken has been written; its buffers may be used again. Optional, but saves memory. */
  outputWritten(): void {
    this.state.out.written();
  }

  /** Bytes that wait to be taken. */
  get outputBytes(): number {
    return this.state.out.bytes;
  }

  /** Client: how many more requests may be sent now. */
  get slots(): number {
    const { state } = this;
    if (state.server || state.closing || state.nextId > STREAM_ID_MAX) return 0;
    return Math.max(0, (state.peer.maxConcurrentStreams ?? STREAMS_ASSUMED) - state.streams.size);
  }

  get openStreams(): number {
    return this.state.streams.size;
  }

  /** The connection has ended; nothing does anything any more but `takeOutput`. */
  get dead(): boolean {
    return this.state.dead;
  }

  /** Client: the server takes extended CONNECT (RFC 8441). */
  get connectProtocolAllowed(): boolean {
    return this.state.peer.connectProtocol;
  }

  /** Client: sends a request's head. 0 when there is no slot, or extended CONNECT is not allowed. */
  request(head: RequestHead, endStream: boolean): number {
    const { state } = this;
    if (this.slots === 0 || (head.protocol !== "" && !state.peer.connectProtocol)) return 0;
    const id = state.nextId;
    state.nextId += 2;
    const stream = state.openStream(id);
    stream.exposed = true;
    stream.tunnel = head.method === "CONNECT";
    stream.headRequest = head.method === "HEAD";
    this.sender.request(stream, head, endStream);
    return id;
  }

  /** Server: sends a response's head, or an interim one (100-199 but 101) without end. A second final head is ignored. */
  respond(streamId: number, head: ResponseHead, endStream: boolean): void {
    const stream = this.state.streams.get(streamId);
    if (stream === undefined || stream.headSent || this.state.dead) return;
    if (head.status >= 300) stream.tunnel = false;
    this.sender.response(stream, head, endStream && head.status >= 200);
  }

  /**
   * Sends body bytes; the chunk is the caller's again afterwards. False when some had to wait: send no more before
   * `onWritable` (what is sent all the same waits too, up to the limit `streamQueueBytes`). Before the head it is a
   * mistake that costs the stream.
   */
  data(streamId: number, chunk: Buffer, endStream: boolean): boolean {
    return this.sendData(streamId, chunk, endStream, false);
  }

  /** As `data`, but the chunk must never change again: large ones are kept and sent without a copy. */
  dataOwned(streamId: number, chunk: Buffer, endStream: boolean): boolean {
    return this.sendData(streamId, chunk, endStream, true);
  }

  /** Ends our side with trailers. */
  trailers(streamId: number, trailers: HeaderList): void {
    const stream = this.state.streams.get(streamId);
    if (stream === undefined || stream.localEnding || this.state.dead) return;
    this.sender.trailers(stream, trailers);
  }

  /** Ends a stream at once and drops what waits in it. */
  reset(streamId: number, code: number): void {
    const stream = this.state.streams.get(streamId);
    if (stream !== undefined && !this.state.dead) this.state.cancel(stream, code);
  }

  /** The application is done with that many received body bytes: the peer may send as many more. */
  consume(streamId: number, bytes: number): void {
    const stream = this.state.streams.get(streamId);
    if (stream !== undefined) this.state.consume(stream, bytes);
  }

  ping(): void {
    if (!this.state.dead) this.control.writePing(PING.application);
  }

  /** Ends the connection at once with GOAWAY; every stream ends with cause `connection`. */
  goaway(code: number, reason = "closed by us"): void {
    this.state.fail(code, reason);
  }

  /**
   * Ends the connection when its streams have. A server says GOAWAY twice: first that it will end, then, a round trip
   * later, which was the last stream, so that no request crosses the first word and is lost (RFC 9113 section 6.8).
   */
  shutdown(): void {
    const { state } = this;
    if (state.dead || this.shutdownMs >= 0) return;
    this.shutdownMs = state.nowMs();
    state.closing = true;
    if (state.server) {
      state.writeGoaway(STREAM_ID_MAX, H2_ERROR.noError);
      this.control.writePing(PING.shutdown);
    } else {
      state.writeGoaway(0, H2_ERROR.noError);
      state.draining = true;
      state.checkDrained();
    }
  }

  /** When `tick` has something to do; undefined when never. It may come earlier, never later, without a word. */
  deadlineMs(): number | undefined {
    const { state, keepalive } = this;
    if (state.dead) return undefined;
    let deadline = Number.POSITIVE_INFINITY;
    const { handshakeTimeoutMs } = state.limits;
    if (!this.isShaken) deadline = this.startedMs + handshakeTimeoutMs;
    if (this.receiver.blocks.open) deadline = Math.min(deadline, this.receiver.blocks.openedMs + handshakeTimeoutMs);
    if (this.shutdownMs >= 0 && !state.draining) deadline = Math.min(deadline, this.shutdownMs + SHUTDOWN_GRACE_MS);
    if (keepalive !== undefined) {
      const { intervalMs, timeoutMs } = keepalive;
      deadline = Math.min(deadline, (this.pingSentMs >= 0 ? state.nowMs() : this.heardMs) + intervalMs);
      // Once the answer is here the next PING is due after an interval, and nobody asks again before this deadline.
      if (this.pingSentMs >= 0) deadline = Math.min(deadline, this.pingSentMs + timeoutMs);
    }
    return deadline === Number.POSITIVE_INFINITY ? undefined : deadline;
  }

  /** Does what is due at `nowMs`: keepalive, timeouts, the second GOAWAY. */
  tick(nowMs: number): void {
    const { state, keepalive } = this;
    if (state.dead) return;
    const { handshakeTimeoutMs } = state.limits;
    if (!this.isShaken && nowMs >= this.startedMs + handshakeTimeoutMs) {
      state.fail(H2_ERROR.settingsTimeout, "no SETTINGS, or none acknowledged");
      return;
    }
    if (this.receiver.blocks.open && nowMs >= this.receiver.blocks.openedMs + handshakeTimeoutMs) {
      state.flood("header-block", "header block without end");
      return;
    }
    if (this.shutdownMs >= 0 && nowMs >= this.shutdownMs + SHUTDOWN_GRACE_MS) this.settleShutdown();
    if (keepalive === undefined || state.dead) return;
    if (this.pingSentMs >= 0) {
      if (nowMs < this.pingSentMs + keepalive.timeoutMs) return;
      if (this.heardMs > this.pingSentMs) this.pingSentMs = -1;
      else state.fail(H2_ERROR.connectError, KEEPALIVE_TIMEOUT);
    } else if (nowMs >= this.heardMs + keepalive.intervalMs) {
      this.pingSentMs = nowMs;
      this.control.writePing(PING.keepalive);
    }
  }

  private get isShaken(): boolean {
    return this.control.settingsReceived && this.control.settingsAcknowledged;
  }

  private sendData(streamId: number, chunk: Buffer, endStream: boolean, owned: boolean): boolean {
    const stream = this.state.streams.get(streamId);
    if (stream === undefined || stream.localEnding || this.state.dead) return true;
    if (!stream.headSent) {
      this.state.writeReset(streamId, H2_ERROR.internalError);
      this.state.abandon(stream, H2_ERROR.internalError, "self");
      return true;
    }
    return this.sender.data(stream, chunk, endStream, owned);
  }

  private onPingAck(reason: number): void {
    if (reason === PING.keepalive) this.pingSentMs = -1;
    else if (reason === PING.shutdown) this.settleShutdown();
  }

  private settleShutdown(): void {
    const { state } = this;
    if (state.draining || this.shutdownMs < 0) return;
    state.refusedAbove = state.lastPeerId;
    state.writeGoaway(state.lastPeerId, H2_ERROR.noError);
    state.draining = true;
    state.checkDrained();
  }
}

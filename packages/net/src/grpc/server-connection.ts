/** One client's connection to a gRPC server: HTTP/2 over a socket, a call for each stream. */
import type { RequestHead } from "@weft/protocols/http/head";
import { Http2Connection, KEEPALIVE_TIMEOUT, type Keepalive } from "@weft/protocols/http2/connection";
import type { Http2Limits } from "@weft/protocols/http2/limits";
import { H2_ERROR } from "@weft/protocols/http2/protocol";
import type { Http2ServerSink } from "@weft/protocols/http2/sink";
import type { Http2Workspace } from "@weft/protocols/http2/workspace";
import type { Connection, ConnectionHandler } from "../tcp/connection.ts";
import type { OutputSource } from "../tcp/output-source.ts";
import { acceptCall, type CallCarrier, type CallStream } from "./call-stream.ts";
import type { CallOptions, GrpcPeer } from "./calls.ts";

/** Streams of one connection at once. */
const streamsMax = 128;
const headerBytesMax = 65_536;
/** What waits for one peer that does not read; whoever sends stops when told so, long before this. */
const queuedBytesMax = 256 * 1024 * 1024;
const requestWindowBytes = 256 * 1024;
const connectionWindowBytes = 1024 * 1024;
/** After the last word to a peer it has this long to close. */
const closeGraceMs = 2_000;
/** Streams that stay after GOAWAY are ended after this. */
const retireGraceMs = 10_000;

/** gRPC clients measure the path with a PING for what they read, and open windows as they read. */
const limits: Partial<Http2Limits> = {
  concurrentStreams: streamsMax,
  headerBytes: headerBytesMax,
  streamQueueBytes: queuedBytesMax,
  pings: { burst: 2_000, perSecond: 500 },
  windowUpdates: { burst: 10_000, perSecond: 2_000 },
};
const settings = {
  streamWindow: requestWindowBytes,
  connectionWindow: connectionWindowBytes,
  connectProtocol: false,
};

/** Who showed what when the connection was made. */
export interface ConnectionPeer {
  readonly peer: GrpcPeer;
  /** The end of the peer's certificate; infinite where there is none. */
  readonly validToMs: number;
}

export interface GrpcConnectionOptions extends CallOptions {
  readonly workspace: Http2Workspace;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  readonly keepalive?: Keepalive;
  /** `undefined`: it showed a certificate that does not verify, and every call is refused. */
  readonly shown: ConnectionPeer | undefined;
  readonly onFirstCall: () => void;
  readonly onGone: () => void;
}

export class GrpcConnection implements ConnectionHandler, OutputSource, Http2ServerSink, CallCarrier {
  readonly codec: Http2Connection;
  readonly #connection: Connection;
  readonly #options: GrpcConnectionOptions;
  readonly #streams = new Map<number, CallStream>();
  /** Above 0 what is written goes out when the work that writes it is done. */
  #held = 0;
  #hasOutput = false;
  #started = false;
  #spoke = false;
  #over = false;
  #destroyAtMs = Number.POSITIVE_INFINITY;

  constructor(connection: Connection, options: GrpcConnectionOptions) {
    this.#connection = connection;
    this.#options = options;
    const { nowMs, workspace, keepalive } = options;
    const parts = { role: "server", sink: this, nowMs, workspace, limits, settings } as const;
    this.codec = new Http2Connection(keepalive ? { ...parts, keepalive } : parts);
    connection.handler = this;
    connection.source = this;
  }

  /** Does what is due; to be called every now and then. */
  tick(nowMs: number): void {
    if (nowMs >= this.#destroyAtMs) {
      this.destroy();
      return;
    }
    const deadlineMs = this.codec.deadlineMs();
    if (deadlineMs === undefined || nowMs < deadlineMs) return;
    this.#start();
    this.codec.tick(nowMs);
  }

  /** Asks the client to come again; its streams may go on for a while. */
  retire(): void {
    this.#start();
    this.codec.shutdown();
    this.#destroyBy(this.#options.nowMs() + retireGraceMs);
  }

  destroy(): void {
    this.#connection.destroy();
  }

  sendOwned(streamId: number, chunk: Buffer): boolean {
    this.#held++;
    const took = this.codec.dataOwned(streamId, chunk, false);
    this.#release();
    return took;
  }

  takeOutput(): readonly Buffer[] {
    // What streams write because there is room again must not overtake what is taken here.
    this.#held++;
    this.#hasOutput = false;
    const taken = this.codec.takeOutput();
    this.#held--;
    if (this.#hasOutput) this.#connection.mark();
    return taken;
  }
  outputWritten(): void {
    this.codec.outputWritten();
  }

  onRead(bytes: Buffer): void {
    if (this.#over) return;
    this.#held++;
    this.#start();
    this.codec.receive(bytes);
    this.#release();
  }
  onPeerEnd(): void {
    this.codec.disconnected("the client ended the connection");
    this.#connection.end();
  }
  onDrain(): void {}
  onClose(): void {
    this.codec.disconnected("connection closed");
    this.#options.onGone();
  }

  onOutput(): void {
    this.#hasOutput = true;
    if (this.#held === 0) this.#connection.mark();
  }
  onRequest(streamId: number, head: RequestHead, endStream: boolean): void {
    if (!this.#spoke) {
      this.#spoke = true;
      this.#options.onFirstCall();
    }
    const { shown, wallMs } = this.#options;
    // A connection may outlive the certificate it was made with.
    const peer = shown && shown.validToMs >= wallMs() ? shown.peer : undefined;
    const call = acceptCall(this, streamId, head, { options: this.#options, peer });
    if (!call) return;
    // First: a call may end while it is opened.
    this.#streams.set(streamId, call);
    call.open();
    if (endStream) call.onEnd();
  }
  onData(streamId: number, chunk: Buffer, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (!stream) {
      this.codec.consume(streamId, chunk.length);
      return;
    }
    stream.onData(chunk);
    if (endStream) stream.onEnd();
  }
  onTrailers(streamId: number): void {
    this.#streams.get(streamId)?.onEnd();
  }
  onWritable(streamId: number): void {
    this.#streams.get(streamId)?.onWritable();
  }
  onReset(): void {}
  onStreamEnd(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (!stream) return;
    this.#streams.delete(streamId);
    stream.onGone();
  }
  onSettings(): void {}
  onGoaway(): void {}
  onClosed(code: number, reason: string): void {
    this.#over = true;
    if (code !== H2_ERROR.noError && code !== H2_ERROR.connectError)
      this.#options.log.debug("gRPC connection failed", { error: reason });
    // Whoever does not answer does not read a last word either.
    if (reason === KEEPALIVE_TIMEOUT) this.destroy();
    else this.#connection.end();
    this.#destroyBy(this.#options.nowMs() + closeGraceMs);
  }

  /** The client speaks first, and what it is told in turn goes out together with the first answer. */
  #start(): void {
    if (this.#started) return;
    this.#started = true;
    this.codec.start();
  }

  #destroyBy(atMs: number): void {
    this.#destroyAtMs = Math.min(this.#destroyAtMs, atMs);
  }

  #release(): void {
    this.#held--;
    if (this.#held === 0 && this.#hasOutput) this.#connection.flush();
  }
}

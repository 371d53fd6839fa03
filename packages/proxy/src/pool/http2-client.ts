import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { OutputSource } from "@weft/net/tcp/output-source";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import { Http2Connection } from "@weft/protocols/http2/connection";
import { H2_ERROR } from "@weft/protocols/http2/protocol";
import type { Http2ClientSink, ResetCause } from "@weft/protocols/http2/sink";
import type { UpstreamHttp } from "../clusters/cluster.ts";
import {
  type ClientStream,
  type ClientStreamSink,
  type RequestBody,
  type UpstreamIdentities,
  unprocessed,
} from "../http/streams.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import type { Lease } from "./leases.ts";
import type { PoolTools } from "./pool-tools.ts";

export interface Http2ClientOwner {
  /** A stream ended or the server's limit changed: there may be room. */
  onRoom(client: Http2Client): void;
  /** The connection takes no new streams. */
  onLeaving(client: Http2Client): void;
  onClosed(client: Http2Client, error: NodeJS.ErrnoException | undefined): void;
  onClientTimer(client: Http2Client): void;
  onBytes(received: number, sent: number): void;
}

const codecTimer = 0;
const ownerTimer = 1;
const lifeTimer = 2;

/** One HTTP/2 connection to a host, shared by many requests. */
export class Http2Client implements ConnectionHandler, Http2ClientSink, OutputSource {
  readonly connection: Connection;
  readonly codec: Http2Connection;
  connected = false;
  tls: UpstreamIdentities | undefined = undefined;
  leaving = false;
  requests = 0;
  /** Negative while it carries streams, or is about to. */
  restsSinceMs = -1;
  /** The owner's timer: connecting, then idle. */
  readonly timer: WheelTimer;
  /** Ends the connection's time: it leaves when its streams are done. */
  readonly lifeTimer: WheelTimer;
  private readonly owner: Http2ClientOwner;
  private readonly tools: PoolTools;
  private readonly streams = new Map<number, Http2ClientStream>();
  private readonly codecTimer: WheelTimer;
  private readonly streamsMax: number;
  private toldSent = 0;

  constructor(owner: Http2ClientOwner, tools: PoolTools, connection: Connection, http: UpstreamHttp) {
    this.owner = owner;
    this.tools = tools;
    this.connection = connection;
    this.streamsMax = http.maxConcurrentStreams;
    this.codec = new Http2Connection({
      role: "client",
      sink: this,
      nowMs: () => tools.wheel.nowMs(),
      workspace: tools.workspace,
      ...(http.keepalive ? { keepalive: http.keepalive } : {}),
    });
    const onTimer = (kind: number): void => {
      if (kind === ownerTimer) owner.onClientTimer(this);
      else if (kind === lifeTimer) this.leave();
      else this.tick();
    };
    this.timer = new WheelTimer({ onTimer }, ownerTimer);
    this.lifeTimer = new WheelTimer({ onTimer }, lifeTimer);
    this.codecTimer = new WheelTimer({ onTimer }, codecTimer);
    connection.handler = this;
  }

  /** The connection stands: says the preface. */
  begin(): void {
    this.connected = true;
    this.connection.source = this;
    this.codec.start();
    this.watch();
  }

  /** The server has said what it takes. */
  settled = false;
  private undecided: Http2ClientStream[] = [];
  /** Calls `decide` once the server has. */
  awaitSettings(stream: Http2ClientStream): void {
    this.undecided.push(stream);
  }

  get openStreams(): number {
    return this.streams.size;
  }
  get leases(): Iterable<Lease> {
    return this.streams.values();
  }
  get bytes(): number {
    return this.connection.bytesIn + this.connection.bytesOut;
  }
  get room(): number {
    if (this.leaving || !this.connected || this.codec.dead) return 0;
    return Math.min(this.codec.slots, this.streamsMax - this.streams.size);
  }

  stream(sink: ClientStreamSink): Http2ClientStream {
    this.requests++;
    return new Http2ClientStream(this, sink);
  }
  opened(id: number, stream: Http2ClientStream): void {
    this.streams.set(id, stream);
  }

  get idleSinceMs(): number {
    return this.leaving || this.streams.size > 0 ? -1 : this.restsSinceMs;
  }
  closeIdle(): void {
    this.leave();
  }

  /** No new streams; the connection ends when the open ones have. */
  leave(): void {
    if (this.leaving) return;
    this.leaving = true;
    this.codec.shutdown();
  }

  takeOutput(): readonly Buffer[] {
    return this.codec.takeOutput();
  }
  outputWritten(): void {
    this.codec.outputWritten();
  }

  onRead(bytes: Buffer): void {
    const { bytesOut } = this.connection;
    this.owner.onBytes(bytes.length, bytesOut - this.toldSent);
    this.toldSent = bytesOut;
    this.codec.receive(bytes);
    if (!this.codecTimer.linked) this.watch();
  }
  onPeerEnd(): void {
    this.codec.disconnected("the server ended the connection");
    this.connection.destroy();
  }
  onDrain(): void {}
  onClose(error: NodeJS.ErrnoException | undefined): void {
    this.timer.retire();
    this.lifeTimer.retire();
    this.codecTimer.retire();
    if (this.connected) this.codec.disconnected(error?.message ?? "connection closed");
    this.owner.onClosed(this, error);
  }

  onOutput(): void {
    this.connection.mark();
  }
  onResponse(streamId: number, head: ResponseHead, endStream: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    if (head.status < 200) stream.sink.onInterim(head);
    else stream.onHead(head, endStream);
  }
  onData(streamId: number, chunk: Buffer, endStream: boolean): void {
    this.streams.get(streamId)?.onData(chunk, endStream);
  }
  onTrailers(streamId: number, trailers: HeaderList): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    stream.done = true;
    stream.sink.onTrailers(trailers);
  }
  onWritable(streamId: number): void {
    this.streams.get(streamId)?.sink.onWritable();
  }
  onReset(streamId: number, code: number, cause: ResetCause): void {
    this.streams.get(streamId)?.onReset(code, cause);
  }
  onStreamEnd(streamId: number): void {
    this.streams.delete(streamId);
    this.owner.onRoom(this);
  }
  onSettings(): void {
    this.settled = true;
    const { undecided } = this;
    this.undecided = [];
    for (const stream of undecided) stream.decide();
    this.owner.onRoom(this);
  }
  onGoaway(): void {
    this.leaving = true;
    this.owner.onLeaving(this);
  }
  onClosed(): void {
    this.leaving = true;
    this.owner.onLeaving(this);
    this.connection.end();
    this.tools.wheel.arm(this.timer, lingerMs);
  }

  private tick(): void {
    this.codec.tick(this.tools.wheel.nowMs());
    this.watch();
  }
  private watch(): void {
    const deadline = this.codec.deadlineMs();
    if (deadline !== undefined) this.tools.wheel.armAt(this.codecTimer, deadline);
  }
}

const lingerMs = 1000;

/** One request on a shared connection. */
export class Http2ClientStream implements ClientStream, Lease {
  readonly protocol = "HTTP/2";
  sink: ClientStreamSink;
  done = false;
  private readonly client: Http2Client;
  private id = 0;
  private heldHead: RequestHead | undefined = undefined;
  private heldData: Buffer[] = [];
  private paused = false;
  private upgrading = false;
  /** Body bytes taken but not yet given back to the peer's window. */
  private owed = 0;

  constructor(client: Http2Client, sink: ClientStreamSink) {
    this.client = client;
    this.sink = sink;
  }

  get tls(): UpstreamIdentities | undefined {
    return this.client.tls;
  }
  get held(): boolean {
    return this.done || this.sink.holds?.(this) !== false;
  }
  get bytes(): number {
    return this.client.bytes;
  }
  reclaim(): void {
    this.cancel();
  }
  get localAddress(): string {
    return `${this.client.connection.localHost}:${this.client.connection.localPort}`;
  }

  writeHead(head: RequestHead, body: RequestBody): boolean {
    const asked = body === "tunnel" && head.method !== "CONNECT" ? extendedConnect(head) : head;
    this.upgrading = asked.protocol !== "";
    if (asked.protocol !== "" && !this.client.settled) {
      // Whether it takes extended CONNECT is in the SETTINGS that are still on their way.
      this.heldHead = asked;
      this.client.awaitSettings(this);
      return true;
    }
    return this.open(asked, body === "none");
  }
  /** The server's SETTINGS are there: sends the head that waited for them. */
  decide(): void {
    const head = this.heldHead;
    this.heldHead = undefined;
    if (head === undefined || this.done) return;
    if (!this.open(head, false)) {
      this.done = true;
      this.sink.onBroken("protocol-error", "");
      return;
    }
    let free = true;
    for (const bytes of this.heldData) free = this.client.codec.data(this.id, bytes, false);
    this.heldData = [];
    if (free) this.sink.onWritable();
  }
  private open(head: RequestHead, end: boolean): boolean {
    this.id = this.client.codec.request(head, end);
    if (this.id === 0) return false;
    this.client.opened(this.id, this);
    return true;
  }
  writeData(bytes: Buffer): boolean {
    if (this.heldHead !== undefined) {
      this.heldData.push(Buffer.from(bytes));
      return this.heldData.length < heldChunksMax;
    }
    return this.client.codec.data(this.id, bytes, false);
  }
  writeTrailers(trailers: HeaderList): void {
    this.client.codec.trailers(this.id, trailers);
  }
  writeEnd(): void {
    this.client.codec.data(this.id, noBytes, true);
  }
  cancel(): void {
    this.done = true;
    this.sink = deaf;
    this.client.codec.reset(this.id, H2_ERROR.cancel);
  }
  pauseBody(): void {
    this.paused = true;
  }
  resumeBody(): void {
    this.paused = false;
    if (this.owed === 0) return;
    const bytes = this.owed;
    this.owed = 0;
    this.client.codec.consume(this.id, bytes);
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (end) this.done = true;
    // What HTTP/1 calls switching (RFC 8441 section 5); any other success of an HTTP/1 server declines the upgrade.
    if (this.upgrading && head.status === 200) head.status = 101;
    this.sink.onHead(head, end);
  }
  onData(chunk: Buffer, end: boolean): void {
    if (end) this.done = true;
    if (chunk.length > 0) this.sink.onData(chunk);
    if (this.paused) this.owed += chunk.length;
    else if (!end) this.client.codec.consume(this.id, chunk.length);
    if (end) this.sink.onEnd();
  }
  onReset(code: number, cause: ResetCause): void {
    if (this.done) return;
    this.done = true;
    const { sink } = this;
    this.sink = deaf;
    if (cause === "unprocessed") sink.onBroken("refused", unprocessed);
    else if (code === H2_ERROR.refusedStream) sink.onBroken("refused", "");
    else if (cause === "connection") sink.onBroken("connection-termination", "");
    else sink.onBroken(cause === "self" ? "protocol-error" : "remote-reset", "");
  }
}

/** Chunks of a tunnel kept until the server's SETTINGS come; then its source waits. */
const heldChunksMax = 4;
const noBytes = Buffer.alloc(0);
const deaf: ClientStreamSink = {
  onInterim() {},
  onHead() {},
  onData() {},
  onTrailers() {},
  onEnd() {},
  onWritable() {},
  onBroken() {},
};

/** RFC 8441: an HTTP/1 upgrade as HTTP/2 says it. */
const extendedConnect = (head: RequestHead): RequestHead => ({
  method: "CONNECT",
  scheme: head.scheme,
  authority: head.authority,
  path: head.path,
  protocol: head.protocol,
  headers: head.headers,
});

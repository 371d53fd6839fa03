import { randomBytes } from "node:crypto";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import { chunkEnd, chunkStart, EncodeError, encodeLastChunk, encodeRequestHead } from "@weft/protocols/http1/encoder";
import type { Http1Error, ResponseFacts } from "@weft/protocols/http1/message";
import { ResponseDecoder, type ResponseSink } from "@weft/protocols/http1/response-decoder";
import type {
  ClientStream,
  ClientStreamSink,
  RequestBody,
  UpstreamBreak,
  UpstreamIdentities,
} from "../http/streams.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import type { Http1Pool } from "./http1-pool.ts";
import type { Lease } from "./leases.ts";

const discard: ClientStreamSink = {
  onInterim() {},
  onHead() {},
  onData() {},
  onTrailers() {},
  onEnd() {},
  onWritable() {},
  onBroken() {},
};

/** One HTTP/1.1 connection to a host; carries one request at a time and goes back to its pool after it. */
export class Http1Client implements ConnectionHandler, ResponseSink, ClientStream, Lease {
  readonly protocol = "HTTP/1.1";
  readonly connection: Connection;
  /** Requests it has carried. */
  requests = 0;
  connected = false;
  tls: UpstreamIdentities | undefined = undefined;
  /** Takes no more requests; closes when the current one is over. */
  leaving = false;
  readonly timer: WheelTimer;
  /** When it last became idle. */
  idleSinceMs = 0;
  /** How long the server keeps it idle, as it said last; -1 when it said nothing. */
  idleSeconds = -1;
  /** Ends the connection's time. */
  readonly lifeTimer: WheelTimer;
  private readonly pool: Http1Pool;
  private readonly decoder: ResponseDecoder;
  private sink: ClientStreamSink = discard;
  private busy = false;
  private responseDone = true;
  private requestDone = true;
  private chunked = false;
  private tunnel = false;
  private keepAlive = true;
  private headSeen = false;
  private socketPaused = false;
  /** Bytes are being decoded: the connection is given back only when there are none behind the response. */
  private reading = false;
  private releaseDue = false;
  private toldSent = 0;

  constructor(pool: Http1Pool, connection: Connection) {
    this.pool = pool;
    this.connection = connection;
    this.decoder = new ResponseDecoder(this);
    this.timer = new WheelTimer({ onTimer: () => pool.onClientTimer(this) }, 0);
    this.lifeTimer = new WheelTimer({ onTimer: () => pool.onClientOld(this) }, 0);
    connection.handler = this;
  }

  get localAddress(): string {
    return `${this.connection.localHost}:${this.connection.localPort}`;
  }

  /** Lent to a request. */
  get lent(): boolean {
    return this.busy;
  }
  get held(): boolean {
    return this.sink.holds?.(this) !== false;
  }
  get bytes(): number {
    return this.connection.bytesIn + this.connection.bytesOut;
  }
  reclaim(): void {
    this.cancel();
  }

  closeIdle(): void {
    this.leaving = true;
    this.connection.destroy();
  }

  /** Lends the connection to one request. */
  attach(sink: ClientStreamSink): void {
    this.sink = sink;
    this.busy = true;
    this.responseDone = false;
    this.requestDone = false;
    this.keepAlive = true;
    this.headSeen = false;
    this.tunnel = false;
    this.requests++;
  }

  writeHead(head: RequestHead, body: RequestBody): boolean {
    let text: string;
    const kind = this.bodyKind(head, body);
    const upgrading = kind === "tunnel" && head.protocol !== "";
    const asked = upgrading ? asUpgrade(head) : head;
    try {
      text = encodeRequestHead(asked, kind);
    } catch (error) {
      if (error instanceof EncodeError) return false;
      throw error;
    }
    this.chunked = kind === "chunked";
    this.tunnel = kind === "tunnel";
    if (!this.decoder.expect(asked.method, upgrading)) return false;
    this.writeText(text);
    if (kind === "none") this.requestDone = true;
    return true;
  }

  writeData(bytes: Buffer): boolean {
    if (bytes.length > 0) {
      if (this.chunked) this.writeText(chunkStart(bytes.length));
      this.connection.write(bytes);
      if (this.chunked) this.writeText(chunkEnd);
    }
    return !this.connection.congested;
  }

  writeTrailers(trailers: HeaderList): void {
    if (this.chunked) {
      try {
        this.writeText(encodeLastChunk(trailers));
      } catch {
        this.writeText(encodeLastChunk());
      }
    }
    this.requestSent();
  }

  writeEnd(): void {
    if (this.requestDone) return;
    if (this.chunked) this.writeText(encodeLastChunk());
    if (this.tunnel) {
      this.requestDone = true;
      this.connection.end();
      return;
    }
    this.requestSent();
  }

  /** An HTTP/1 request cannot be taken back: the connection goes. */
  cancel(): void {
    if (!this.busy) return;
    this.sink = discard;
    this.busy = false;
    this.pool.gone(this);
    this.connection.destroy();
  }

  pauseBody(): void {
    if (this.socketPaused || !this.connection.open) return;
    this.socketPaused = true;
    this.connection.pause();
  }
  resumeBody(): void {
    if (!this.socketPaused) return;
    this.socketPaused = false;
    this.connection.resume();
  }

  /** Bytes written since it was last asked. */
  takeSent(): number {
    const { bytesOut } = this.connection;
    const sent = bytesOut - this.toldSent;
    this.toldSent = bytesOut;
    return sent;
  }

  onRead(bytes: Buffer): void {
    this.pool.counters.upstreamCxRxBytesTotal += bytes.length;
    this.reading = true;
    this.decoder.receive(bytes);
    this.reading = false;
    if (!this.releaseDue) return;
    this.releaseDue = false;
    this.release();
  }
  onPeerEnd(): void {
    if (this.busy) this.decoder.finish();
    if (this.busy && this.tunnel && this.headSeen) return;
    // A peer that ended while nothing was asked, or midway, is of no use any more.
    if (this.busy) this.broken("connection-termination", "");
    else this.pool.peerLeft(this);
  }
  onDrain(): void {
    if (this.busy) this.sink.onWritable();
  }
  onClose(error: NodeJS.ErrnoException | undefined): void {
    this.timer.retire();
    this.lifeTimer.retire();
    if (this.busy) {
      this.decoder.finish();
      if (this.busy) this.broken("connection-termination", error?.message ?? "");
    }
    this.pool.closed(this, error);
  }

  onInterim(head: ResponseHead): void {
    this.sink.onInterim(head);
  }
  onHead(head: ResponseHead, facts: ResponseFacts): void {
    this.keepAlive = facts.keepAlive;
    this.idleSeconds = facts.idleSeconds;
    this.headSeen = true;
    if (this.tunnel && facts.bodyKind !== "tunnel") {
      // The upgrade was declined: what the client sends after this would be read as requests.
      this.tunnel = false;
      this.requestDone = true;
      this.keepAlive = false;
    }
    // With a body of none the decoder's onEnd follows; the sink is to hear of both at once.
    const end = facts.bodyKind === "none";
    if (end) this.responseDone = true;
    const { sink } = this;
    sink.onHead(head, end);
  }
  onBody(bytes: Buffer): void {
    this.sink.onData(bytes);
  }
  onTrailers(trailers: HeaderList): void {
    this.responseDone = true;
    this.sink.onTrailers(trailers);
  }
  onEnd(): void {
    if (!this.responseDone) {
      this.responseDone = true;
      this.sink.onEnd();
    }
    this.release();
  }
  onError(error: Http1Error): void {
    if (!this.busy) {
      this.pool.gone(this);
      this.connection.destroy();
      return;
    }
    if (this.responseDone) {
      // The response stands; what came behind it must not be read as the next one.
      this.keepAlive = false;
      this.release();
      return;
    }
    const cutEarly = error.reason === "closed-mid-message" && !this.headSeen;
    this.broken(cutEarly ? "connection-termination" : "protocol-error", cutEarly ? "" : error.reason);
  }

  private bodyKind(head: RequestHead, body: RequestBody): "none" | "length" | "chunked" | "tunnel" {
    if (body !== "open") return body;
    return head.headers.has("content-length") ? "length" : "chunked";
  }

  private writeText(text: string): void {
    const { connection } = this;
    const buffer = connection.space(text.length);
    const { position } = connection;
    buffer.write(text, position, "latin1");
    connection.wrote(position + text.length);
  }

  private requestSent(): void {
    if (this.requestDone) return;
    this.requestDone = true;
    if (this.responseDone) this.release();
  }

  private release(): void {
    if (!this.busy || !this.responseDone) return;
    if (this.reading) {
      this.releaseDue = true;
      return;
    }
    this.busy = false;
    this.sink = discard;
    // A response that came before the whole request leaves a connection whose bytes nobody can place.
    if (!this.requestDone || !this.keepAlive || this.leaving || !this.connection.open) {
      this.pool.gone(this);
      this.connection.destroy();
      return;
    }
    // Its last client may have paused it, and the whole response may have come all the same.
    this.resumeBody();
    this.pool.release(this);
  }

  private broken(how: UpstreamBreak, detail: string): void {
    const { sink } = this;
    this.sink = discard;
    this.busy = false;
    this.decoder.stop();
    this.pool.gone(this);
    this.connection.destroy();
    sink.onBroken(how, detail);
  }
}

/** An upgrade that came by HTTP/2 as HTTP/1 says it (RFC 8441 section 5); a WebSocket needs a key here. */
const asUpgrade = (head: RequestHead): RequestHead => {
  const { headers } = head;
  if (head.protocol === "websocket") {
    if (!headers.has("sec-websocket-key")) headers.add("sec-websocket-key", randomBytes(16).toString("base64"));
    if (!headers.has("sec-websocket-version")) headers.add("sec-websocket-version", "13");
  }
  return head.method === "CONNECT" ? { ...head, method: "GET" } : head;
};

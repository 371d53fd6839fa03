import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { Http2Connection } from "@weft/protocols/http2/connection";
import { H2_ERROR } from "@weft/protocols/http2/protocol";
import type { HttpExchange } from "./http-exchange.ts";
import { freeExchangesMax } from "./limits.ts";
import type { ServerStream } from "./streams.ts";

const noBytes = Buffer.alloc(0);

/**
 * One request of a client's HTTP/2 connection, with the head it is read into. Used over and over: it goes back to its
 * pool once both the codec and the exchange are done with it, and does nothing until it is opened again.
 */
export class Http2ServerStream implements ServerStream {
  requestOpen = false;
  exchange: HttpExchange | undefined = undefined;
  readonly head: RequestHead = {
    method: "",
    scheme: "",
    authority: "",
    path: "",
    protocol: "",
    headers: new HeaderList(),
  };
  private readonly pool: Http2ServerStreams;
  private codec: Http2Connection | undefined = undefined;
  private id = 0;
  private released = false;
  private ended = false;
  private paused = false;
  private owed = 0;
  /** An upgrade or CONNECT that is not answered yet: what came for the tunnel, bounded by the stream's window. */
  private early: Buffer[] | undefined = undefined;
  private earlyEnd = false;
  private upgrade = false;
  /** The upgrade was declined: what the client sends for it is nobody's. */
  private declined = false;

  constructor(pool: Http2ServerStreams) {
    this.pool = pool;
  }

  open(codec: Http2Connection, id: number, exchange: HttpExchange, requestOpen: boolean): void {
    this.codec = codec;
    this.id = id;
    this.exchange = exchange;
    this.requestOpen = requestOpen;
    this.released = false;
    this.ended = false;
    this.paused = false;
    this.owed = 0;
    this.upgrade = this.head.protocol !== "";
    this.early = this.head.method === "CONNECT" ? [] : undefined;
    this.earlyEnd = false;
    this.declined = false;
  }

  onData(chunk: Buffer, end: boolean): void {
    const { exchange, early } = this;
    if (early !== undefined) {
      if (chunk.length > 0) early.push(Buffer.from(chunk));
      this.earlyEnd = end;
      return;
    }
    if (this.declined) {
      this.codec?.consume(this.id, chunk.length);
      return;
    }
    if (exchange !== undefined && chunk.length > 0) exchange.onRequestData(chunk);
    if (this.paused) this.owed += chunk.length;
    else if (!end) this.codec?.consume(this.id, chunk.length);
    if (!end) return;
    this.requestOpen = false;
    this.exchange?.onRequestEnd();
  }
  /** The codec's last word. */
  onEnd(): void {
    this.ended = true;
    if (this.released) this.giveBack();
  }

  writeInterim(head: ResponseHead): void {
    this.codec?.respond(this.id, head, false);
  }
  writeHead(head: ResponseHead, end: boolean): void {
    // An upgrade that HTTP/1 answers with 101 is answered with 200 here (RFC 8441 section 5), which no other answer may.
    const switched = head.status === 101;
    if (switched) {
      head.status = 200;
      head.headers.remove("upgrade");
    } else if (this.upgrade && head.status < 300) head.status = 502;
    this.codec?.respond(this.id, head, end);
    if (this.early !== undefined) this.settleTunnel(head.status < 300);
    // Logs say what the upstream said.
    if (switched) head.status = 101;
  }
  writeData(bytes: Buffer): boolean {
    return this.codec?.data(this.id, bytes, false) ?? true;
  }
  writeTrailers(trailers: HeaderList): void {
    this.codec?.trailers(this.id, trailers);
  }
  writeEnd(): void {
    this.codec?.data(this.id, noBytes, true);
  }
  abort(): void {
    this.codec?.reset(this.id, H2_ERROR.internalError);
  }
  pauseBody(): void {
    this.paused = true;
  }
  resumeBody(): void {
    this.paused = false;
    if (this.owed === 0) return;
    const bytes = this.owed;
    this.owed = 0;
    this.codec?.consume(this.id, bytes);
  }
  release(): void {
    this.exchange = undefined;
    this.released = true;
    if (this.ended) this.giveBack();
  }

  /** What came before the answer goes on if there is a tunnel for it, else nowhere. */
  private settleTunnel(open: boolean): void {
    const { early = [], id, codec } = this;
    this.early = undefined;
    this.declined = !open;
    for (const chunk of early) {
      if (this.id !== id || this.codec !== codec) return;
      this.onData(chunk, false);
    }
    if (this.earlyEnd && this.id === id) this.onData(noBytes, true);
  }

  private giveBack(): void {
    this.early = undefined;
    this.codec = undefined;
    this.id = 0;
    this.head.headers.clear();
    this.pool.give(this);
  }
}

/** The streams of one thread's connections. */
export class Http2ServerStreams {
  private readonly free: Http2ServerStream[] = [];

  take(): Http2ServerStream {
    return this.free.pop() ?? new Http2ServerStream(this);
  }
  give(stream: Http2ServerStream): void {
    if (this.free.length < freeExchangesMax) this.free.push(stream);
  }
}

import type { HeaderList } from "@weft/protocols/http/headers";
import type { MirrorPolicy } from "../routing/mirror-policy.ts";
import type { Attempt } from "./attempt.ts";
import { BodyBuffer } from "./body-buffer.ts";
import type { HttpTools } from "./hcm-settings.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { Mirrors } from "./mirror.ts";
import type { ClientStream, RequestBody } from "./streams.ts";

/** A request's body on its way upstream: what waits for a stream, what is kept to be sent again, and its copies. */
export class RequestFlow {
  trailers: HeaderList | undefined = undefined;
  private readonly exchange: HttpExchange;
  private readonly body = new BodyBuffer();
  private readonly mirrors = new Mirrors();
  private keeps = false;
  private paused = false;
  /** A filter waits for the whole body, of so many bytes at most; -1 when none does. */
  private gatherMost = -1;

  constructor(exchange: HttpExchange) {
    this.exchange = exchange;
  }

  /** `keeps`: the body may have to be sent again. `most`: how much of it is kept, where the route says so. */
  begin(keeps: boolean, most: number | undefined): void {
    const { body } = this;
    this.keeps = keeps;
    if (most !== undefined) body.most = most;
    if (!keeps || body.bytes > body.most) body.whole = false;
  }
  mirror(tools: HttpTools, wanted: readonly MirrorPolicy[]): void {
    this.mirrors.begin(tools, wanted, this.exchange, this.body);
    if (this.exchange.requestEnded) this.mirrors.send();
  }

  /** The whole request can be sent once more. */
  get whole(): boolean {
    return this.body.whole;
  }
  kind(tunnel: boolean): RequestBody {
    if (tunnel) return "tunnel";
    return this.exchange.requestEnded && this.body.bytes === 0 && this.trailers === undefined ? "none" : "open";
  }

  /** False: more came than the filter that waits for it takes. */
  onData(bytes: Buffer, { headSent, stream }: Attempt, answered: boolean): boolean {
    this.mirrors.onRequestData(bytes);
    const { body } = this;
    if (headSent && stream !== undefined) {
      body.keep(bytes);
      if (!stream.writeData(bytes)) this.pause();
      return true;
    }
    if (answered) return true;
    // No stream yet: the body waits here, and its source stops when that is enough.
    body.add(bytes);
    if (this.gatherMost >= 0) return body.bytes <= this.gatherMost;
    if (body.full) this.pause();
    return true;
  }
  gather(most: number): void {
    this.gatherMost = most;
    // More is taken from here on than what made it stop.
    this.resume();
  }
  /** The request is whole. True where a filter waited for that. */
  ended(): boolean {
    if (this.gatherMost < 0) {
      this.mirrors.send();
      return false;
    }
    this.gatherMost = -1;
    const { headers } = this.exchange.request;
    if (!headers.has("content-length")) headers.set("content-length", String(this.body.bytes));
    return true;
  }

  /** What came so far goes to that stream. */
  sendTo(stream: ClientStream): void {
    const { body } = this;
    if (body.bytes === 0) {
      this.resume();
      return;
    }
    const free = body.sendTo((bytes) => stream.writeData(bytes));
    if (!this.keeps || !body.whole) body.drop();
    if (free) this.resume();
    else this.pause();
  }
  endTo(stream: ClientStream): void {
    if (this.trailers !== undefined) stream.writeTrailers(this.trailers);
    else stream.writeEnd();
  }
  /** The request is one without a body from here on. */
  clear(): void {
    this.body.reset();
    this.trailers = undefined;
  }
  /** Nothing sends it again. */
  drop(): void {
    this.body.drop();
  }
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.exchange.stream?.resumeBody();
  }
  reset(): void {
    this.trailers = undefined;
    this.mirrors.drop();
    this.body.reset();
    this.keeps = false;
    this.paused = false;
    this.gatherMost = -1;
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.exchange.stream?.pauseBody();
  }
}

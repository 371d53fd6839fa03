import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import { readBufferBytes } from "@weft/net/tcp/limits";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import {
  type ConnectionOption,
  chunkEnd,
  chunkStart,
  continueHead,
  EncodeError,
  encodeLastChunk,
  encodeResponseHead,
  responseBodyKind,
} from "@weft/protocols/http1/encoder";
import type { BodyKind, Http1Error, RequestFacts } from "@weft/protocols/http1/message";
import { type RequestSink as DecoderSink, RequestDecoder } from "@weft/protocols/http1/request-decoder";
import { WheelTimer } from "../timers/timer-wheel.ts";
import type { DownstreamInfo } from "./exchange.ts";
import type { HcmSettings, HcmSlot } from "./hcm-settings.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { discardedBytesMax, drainIdleMs, pipelinedBytesMax } from "./limits.ts";
import { answerRefused } from "./refused-request.ts";
import type { ServedConnection, ServerStart } from "./server-connection.ts";
import type { ServerStream } from "./streams.ts";

const idleKind = 0;
const headKind = 1;
const closeKind = 2;
const durationKind = 3;

/** A client's HTTP/1 connection: one exchange at a time, pipelined requests wait their turn. */
export class Http1Server implements ConnectionHandler, DecoderSink, ServerStream, ServedConnection {
  requestOpen = false;
  private readonly slot: HcmSlot;
  private readonly connection: Connection;
  private readonly downstream: DownstreamInfo;
  private readonly decoder: RequestDecoder;
  private readonly onGone: () => void;
  private readonly count: ServerStart["count"];
  private readonly idleTimer: WheelTimer;
  private readonly headTimer: WheelTimer;
  private readonly closeTimer: WheelTimer;
  private readonly durationTimer: WheelTimer;
  private exchange: HttpExchange | undefined = undefined;
  method = "";
  minorVersion = 1;
  private requests = 0;
  private restsSinceMs = 0;
  private bodyKind: BodyKind = "none";
  private headWritten = false;
  private closeAfter = false;
  private draining = false;
  private closing = false;
  private discardedBytes = 0;
  private tunnel = false;
  private bodyPaused = false;
  private socketPaused = false;
  /** The client does not read its answers: the next request waits until it does. */
  private answersWait = false;
  /** The decoder is at work and will go on by itself. */
  private reading = false;
  private readonly expectsTunnel = { asked: false };

  constructor({ slot, connection, downstream, count }: ServerStart, onGone: () => void) {
    const settings = slot.current;
    this.slot = slot;
    this.connection = connection;
    this.downstream = downstream;
    this.onGone = onGone;
    this.count = count;
    this.decoder = new RequestDecoder(this, {
      scheme: downstream.tls === undefined ? "http" : "https",
      acceptHttp10: settings.acceptHttp10,
      // One that is not configured is refused when the route is known.
      upgrades: "any",
      underscoreNames: settings.underscoreNames,
      limits: {
        headBytesMax: settings.headBytesMax,
        startLineBytesMax: settings.headBytesMax,
        headersMax: settings.headersMax,
        heldBytesMax: 2 * readBufferBytes,
      },
    });
    this.idleTimer = new WheelTimer(this, idleKind);
    this.headTimer = new WheelTimer(this, headKind);
    this.closeTimer = new WheelTimer(this, closeKind);
    this.durationTimer = new WheelTimer(this, durationKind);
    connection.handler = this;
    this.armIdle();
    if (settings.maxConnectionDurationMs > 0) {
      settings.tools.wheel.arm(this.durationTimer, settings.maxConnectionDurationMs);
    }
  }

  private get settings(): HcmSettings {
    return this.slot.current;
  }

  drain(): void {
    this.draining = true;
    // A request may be on its way to us: it is answered, and told that it was the last one here.
    if (this.exchange === undefined && this.decoder.idle) this.settings.tools.wheel.arm(this.idleTimer, drainIdleMs);
  }
  close(): void {
    this.connection.destroy();
  }
  get idleSinceMs(): number {
    const rests = this.exchange === undefined && this.decoder.idle && !this.closing && !this.answersWait;
    return rests ? this.restsSinceMs : -1;
  }
  closeIdle(): void {
    this.finishConnection();
  }

  onTimer(kind: number): void {
    if (kind === closeKind) this.connection.destroy();
    else if (kind === durationKind) this.drain();
    else if (kind === headKind) this.refuse(408, "request_header_timeout");
    else if (this.exchange === undefined) this.finishConnection();
  }

  onRead(bytes: Buffer): void {
    if (this.closing) {
      this.discardedBytes += bytes.length;
      if (this.discardedBytes > discardedBytesMax) this.connection.pause();
      return;
    }
    this.reading = true;
    this.decoder.receive(bytes);
    this.reading = false;
    if (this.exchange === undefined) this.watchHead();
    this.steerReading();
  }
  onPeerEnd(): void {
    if (this.closing) {
      this.connection.destroy();
      return;
    }
    if (this.tunnel) {
      this.decoder.finish();
      return;
    }
    const { exchange } = this;
    if (exchange === undefined) {
      this.finishConnection();
      return;
    }
    // A client that ends its side while it waits has hung up, as Envoy sees it.
    this.exchange = undefined;
    this.decoder.stop();
    exchange.onClientGone();
    this.connection.destroy();
  }
  onDrain(): void {
    if (this.answersWait) this.readNext();
    else this.exchange?.onClientWritable();
  }
  onClose(): void {
    this.closing = true;
    this.idleTimer.retire();
    this.headTimer.retire();
    this.closeTimer.retire();
    this.durationTimer.retire();
    this.decoder.stop();
    const { exchange } = this;
    this.exchange = undefined;
    exchange?.onClientGone();
    this.onGone();
  }

  onHead(head: RequestHead, facts: RequestFacts): void {
    const { settings } = this;
    this.idleTimer.disarm();
    this.headTimer.disarm();
    this.method = head.method;
    this.minorVersion = facts.minorVersion;
    this.requests++;
    const last = settings.maxRequestsPerConnection > 0 && this.requests >= settings.maxRequestsPerConnection;
    this.closeAfter = !facts.keepAlive || last;
    if (settings.tools.overload.endsKeepAlive()) {
      settings.counters.keepAliveOff.add(1);
      this.closeAfter = true;
    }
    this.expectsTunnel.asked = facts.bodyKind === "tunnel";
    this.requestOpen = facts.bodyKind !== "none";
    this.headWritten = false;
    this.tunnel = false;
    if (facts.expectContinue && this.requestOpen) this.writeText(continueHead);
    const exchange = settings.tools.exchanges.take(settings.tools);
    this.exchange = exchange;
    exchange.begin(settings, this, this.downstream, head, {
      protocol: facts.minorVersion === 0 ? "HTTP/1.0" : "HTTP/1.1",
      end: facts.bodyKind === "none",
    });
  }
  onBody(bytes: Buffer): void {
    this.exchange?.onRequestData(bytes);
  }
  onTrailers(trailers: HeaderList): void {
    const kept = new HeaderList();
    kept.copyFrom(trailers);
    this.exchange?.onRequestTrailers(kept);
  }
  onEnd(): void {
    this.requestOpen = false;
    const { exchange } = this;
    if (exchange === undefined) return;
    exchange.onRequestEnd();
    // The next request waits until this one is answered: its head would overwrite this one's.
    if (this.exchange !== undefined) this.decoder.pause();
  }
  onError(error: Http1Error): void {
    const { exchange } = this;
    this.settings.counters.protocolErrors.add(1);
    if (exchange === undefined) {
      this.refuse(error.status, error.reason);
      return;
    }
    this.exchange = undefined;
    const begun = this.headWritten;
    exchange.flag("DPE");
    exchange.details = `http1.${error.reason}`;
    // Its release is not to end the connection before the refusal is written.
    this.closing = true;
    exchange.onClientGone();
    this.closing = false;
    if (begun) this.connection.destroy();
    else this.refuse(error.status, error.reason);
  }

  writeInterim(head: ResponseHead): void {
    if (this.minorVersion === 0 || this.headWritten || head.status === 101) return;
    this.writeText(encodeResponseHead(head, "none"));
  }
  writeHead(head: ResponseHead, end: boolean): void {
    const asked = this.expectsTunnel.asked;
    this.headWritten = true;
    this.bodyKind = responseBodyKind(head, this);
    this.tunnel = asked && this.bodyKind === "tunnel";
    // What a client sends after an upgrade that was declined was not meant as a request.
    if (asked && !this.tunnel) this.closeAfter = true;
    if (this.bodyKind === "close") this.closeAfter = true;
    // The client may be told before its body is whole; what is left of that must not be read as a request.
    if (this.requestOpen && !asked) this.closeAfter = true;
    if (end && this.bodyKind !== "none" && this.bodyKind !== "tunnel") {
      if (!head.headers.has("content-length")) head.headers.add("content-length", "0");
      this.bodyKind = "length";
    }
    if (this.draining || this.settings.leaving.now) this.closeAfter = true;
    try {
      this.writeText(encodeResponseHead(head, this.bodyKind, this.connectionOption()));
    } catch (error) {
      if (!(error instanceof EncodeError)) throw error;
      this.connection.destroy();
      return;
    }
    if (!asked) return;
    if (this.tunnel) {
      this.decoder.acceptUpgrade();
      this.steerReading();
    } else {
      this.requestOpen = false;
      this.decoder.declineUpgrade();
    }
  }
  writeData(bytes: Buffer): boolean {
    if (bytes.length > 0 && this.bodyKind !== "none") {
      const chunked = this.bodyKind === "chunked";
      if (chunked) this.writeText(chunkStart(bytes.length));
      this.connection.write(bytes);
      if (chunked) this.writeText(chunkEnd);
    }
    return !this.connection.congested;
  }
  writeTrailers(trailers: HeaderList): void {
    if (this.bodyKind !== "chunked") return;
    try {
      this.writeText(encodeLastChunk(trailers));
    } catch {
      this.writeText(encodeLastChunk());
    }
  }
  writeEnd(): void {
    if (this.bodyKind === "chunked") this.writeText(encodeLastChunk());
    if (this.bodyKind === "tunnel") this.closeAfter = true;
  }
  abort(): void {
    this.connection.flush();
    this.closing = true;
    this.connection.destroy();
  }
  pauseBody(): void {
    this.bodyPaused = true;
    this.steerReading();
  }
  resumeBody(): void {
    this.bodyPaused = false;
    this.steerReading();
  }
  release(): void {
    this.exchange = undefined;
    this.count?.bytes();
    if (!this.connection.open || this.closing) return;
    if (this.closeAfter || this.draining || this.requestOpen) {
      this.finishConnection();
      return;
    }
    this.armIdle();
    this.bodyPaused = false;
    if (this.connection.congested) {
      this.answersWait = true;
      this.decoder.pause();
    } else if (this.reading) this.decoder.resume();
    else this.readNext();
  }

  private connectionOption(): ConnectionOption {
    if (this.tunnel) return "";
    if (this.closeAfter) return "close";
    return this.minorVersion === 0 ? "keep-alive" : "";
  }

  /** Takes the next request, or as much of it as is here. */
  private readNext(): void {
    this.answersWait = false;
    this.reading = true;
    this.decoder.resume();
    this.reading = false;
    if (this.closing) return;
    if (this.exchange === undefined) this.watchHead();
    this.steerReading();
  }

  /**
   * A request's body is read as fast as the upstream takes it. Behind a whole request reading goes on, for only so the
   * client's end is seen while it waits; but no further than a bound.
   */
  private steerReading(): void {
    const full = (this.bodyPaused && this.requestOpen) || this.decoder.heldBytes > pipelinedBytesMax;
    if (full === this.socketPaused || !this.connection.open || this.closing) return;
    this.socketPaused = full;
    if (full) this.connection.pause();
    else this.connection.resume();
  }

  /** Sends what is written, ends our side, and waits a while for the client to end its own. */
  private finishConnection(): void {
    if (this.closing) return;
    this.closing = true;
    this.decoder.stop();
    this.connection.end();
    const delay = this.settings.delayedCloseTimeoutMs;
    if (this.socketPaused) this.connection.resume();
    if (delay > 0) this.settings.tools.wheel.arm(this.closeTimer, delay);
    else this.connection.destroy();
  }

  private refuse(status: number, reason: string): void {
    this.headTimer.disarm();
    this.writeText(answerRefused(this.settings, this.downstream, status, reason));
    this.finishConnection();
  }

  private writeText(text: string): void {
    const { connection } = this;
    const buffer = connection.space(text.length);
    const { position } = connection;
    buffer.write(text, position, "latin1");
    connection.wrote(position + text.length);
  }

  /** A head that has begun must come whole in its time. */
  private watchHead(): void {
    if (!this.decoder.idle && !this.answersWait && !this.headTimer.armed) this.armHead();
  }
  private armIdle(): void {
    const { connectionIdleTimeoutMs, tools } = this.settings;
    const now = tools.wheel.nowMs();
    this.restsSinceMs = now;
    if (connectionIdleTimeoutMs > 0) tools.wheel.armAt(this.idleTimer, now + connectionIdleTimeoutMs);
  }
  private armHead(): void {
    const { requestHeadersTimeoutMs, tools } = this.settings;
    if (requestHeadersTimeoutMs === 0) return;
    this.idleTimer.disarm();
    tools.wheel.arm(this.headTimer, requestHeadersTimeoutMs);
  }
}

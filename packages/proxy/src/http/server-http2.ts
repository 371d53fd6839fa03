import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { OutputSource } from "@weft/net/tcp/output-source";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import { Http2Connection, KEEPALIVE_TIMEOUT } from "@weft/protocols/http2/connection";
import type { Http2Flood } from "@weft/protocols/http2/limits";
import { H2_ERROR } from "@weft/protocols/http2/protocol";
import { HEAD_TOO_LARGE, UNDERSCORE_REFUSED } from "@weft/protocols/http2/receiver";
import type { Http2ServerSink, ResetCause } from "@weft/protocols/http2/sink";
import { WheelTimer } from "../timers/timer-wheel.ts";
import type { DownstreamInfo, LocalReply } from "./exchange.ts";
import type { HcmSettings, HcmSlot } from "./hcm-settings.ts";
import type { Http2ServerStream } from "./http2-server-stream.ts";
import { discardedBytesMax } from "./limits.ts";
import { logRefused } from "./refused-request.ts";
import type { ServedConnection, ServerStart } from "./server-connection.ts";

const idleKind = 0;
const codecKind = 1;
const closeKind = 2;
const durationKind = 3;

/** A client's HTTP/2 connection: an exchange for each stream. */
export class Http2Server implements ConnectionHandler, Http2ServerSink, OutputSource, ServedConnection {
  readonly codec: Http2Connection;
  private readonly slot: HcmSlot;
  readonly downstream: DownstreamInfo;
  private readonly connection: Connection;
  private readonly onGone: () => void;
  private readonly count: ServerStart["count"];
  private readonly streams = new Map<number, Http2ServerStream>();
  private readonly idleTimer: WheelTimer;
  private readonly codecTimer: WheelTimer;
  private readonly closeTimer: WheelTimer;
  private readonly durationTimer: WheelTimer;
  private requests = 0;
  private restsSinceMs = 0;
  private leaving = false;
  private closed = false;
  private discardedBytes = 0;
  /** Whose head the codec fills; `onRequest` follows at once. */
  private next: Http2ServerStream | undefined = undefined;

  constructor({ slot, connection, downstream, count }: ServerStart, onGone: () => void) {
    const settings = slot.current;
    this.slot = slot;
    this.connection = connection;
    this.downstream = downstream;
    this.onGone = onGone;
    this.count = count;
    const { wheel, pools } = settings.tools;
    this.codec = new Http2Connection({
      role: "server",
      sink: this,
      nowMs: () => wheel.nowMs(),
      workspace: pools.workspace,
      limits: { ...settings.http2.limits, headerBytes: settings.headBytesMax, headerCount: settings.headersMax },
      underscoreNames: settings.underscoreNames,
      settings: { connectProtocol: settings.upgrades.size > 0, ...settings.http2.settings },
      ...(settings.http2.keepalive === undefined ? {} : { keepalive: settings.http2.keepalive }),
    });
    this.idleTimer = new WheelTimer(this, idleKind);
    this.codecTimer = new WheelTimer(this, codecKind);
    this.closeTimer = new WheelTimer(this, closeKind);
    this.durationTimer = new WheelTimer(this, durationKind);
    connection.handler = this;
    connection.source = this;
    this.codec.start();
    this.armIdle();
    this.watch();
    if (settings.maxConnectionDurationMs > 0) wheel.arm(this.durationTimer, settings.maxConnectionDurationMs);
  }

  get settings(): HcmSettings {
    return this.slot.current;
  }

  get idleSinceMs(): number {
    return this.streams.size === 0 && !this.leaving ? this.restsSinceMs : -1;
  }
  closeIdle(): void {
    this.drain();
  }
  drain(): void {
    this.leaving = true;
    this.settings.http2.counters.sent.goaways.add(1);
    this.codec.shutdown();
    this.watch();
  }
  close(): void {
    this.connection.destroy();
  }

  onTimer(kind: number): void {
    if (kind === closeKind) this.connection.destroy();
    else if (kind === codecKind) {
      this.codec.tick(this.settings.tools.wheel.nowMs());
      this.watch();
    } else if (kind === durationKind || this.streams.size === 0) this.drain();
  }

  takeOutput(): readonly Buffer[] {
    return this.codec.takeOutput();
  }
  outputWritten(): void {
    this.codec.outputWritten();
  }

  onRead(bytes: Buffer): void {
    if (this.closed) {
      this.discardedBytes += bytes.length;
      if (this.discardedBytes > discardedBytesMax) this.connection.pause();
      return;
    }
    this.codec.receive(bytes);
    this.count?.bytes();
    if (!this.codecTimer.linked) this.watch();
  }
  onPeerEnd(): void {
    this.codec.disconnected("the client ended the connection");
    this.connection.end();
    this.settings.tools.wheel.arm(this.closeTimer, this.settings.delayedCloseTimeoutMs);
  }
  onDrain(): void {}
  onClose(): void {
    this.idleTimer.retire();
    this.codecTimer.retire();
    this.closeTimer.retire();
    this.durationTimer.retire();
    this.codec.disconnected("connection closed");
    this.onGone();
  }

  onOutput(): void {
    this.connection.mark();
  }
  requestFor(): RequestHead {
    this.next = this.settings.tools.http2Streams.take();
    return this.next.head;
  }
  onRequest(streamId: number, head: RequestHead, endStream: boolean): void {
    const stream = this.next;
    if (stream === undefined) return;
    this.next = undefined;
    const { settings, codec } = this;
    const { tools } = settings;
    this.idleTimer.disarm();
    this.requests++;
    const exchange = tools.exchanges.take(tools);
    stream.open(codec, streamId, exchange, !endStream);
    this.streams.set(streamId, stream);
    const most = settings.maxRequestsPerConnection;
    if (most > 0 && this.requests >= most) codec.shutdown();
    else if (tools.overload.endsKeepAlive()) {
      settings.counters.keepAliveOff.add(1);
      codec.shutdown();
    } else if (settings.leaving.now && !this.leaving) this.drain();
    if (!endStream && head.headers.get("expect")?.toLowerCase() === "100-continue") {
      head.headers.remove("expect");
      codec.respond(streamId, continueHead, false);
    }
    // An upgrade is what it is in HTTP/1: a policy on GET must hold for it whatever version it comes by.
    if (head.protocol !== "") head.method = "GET";
    exchange.begin(settings, stream, this.downstream, head, { protocol: "HTTP/2", end: endStream });
  }
  onData(streamId: number, chunk: Buffer, endStream: boolean): void {
    this.streams.get(streamId)?.onData(chunk, endStream);
  }
  onTrailers(streamId: number, trailers: HeaderList): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    stream.requestOpen = false;
    stream.exchange?.onRequestTrailers(trailers);
    stream.exchange?.onRequestEnd();
  }
  onWritable(streamId: number): void {
    this.streams.get(streamId)?.exchange?.onClientWritable();
  }
  onReset(streamId: number, _code: number, cause: ResetCause): void {
    const { received, sent } = this.settings.http2.counters;
    if (cause === "peer") received.resets.add(1);
    else if (cause === "self") sent.resets.add(1);
    const stream = this.streams.get(streamId);
    const exchange = stream?.exchange;
    if (stream === undefined || exchange === undefined) return;
    stream.exchange = undefined;
    exchange.onClientGone(cause === "peer");
  }
  onStreamEnd(streamId: number): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    this.streams.delete(streamId);
    stream.onEnd();
    if (this.streams.size === 0) this.armIdle();
  }
  onSettings(): void {}
  onGoaway(): void {}
  /** A request nobody saw: counted and logged like one that was refused in HTTP/1. */
  onRefused(_streamId: number, reason: string): void {
    const { counters } = this.settings.http2;
    (reason === HEAD_TOO_LARGE ? counters.received.tooLarge : counters.received.malformed).add(1);
    logRefused(this.settings, this.downstream, refusals.get(reason) ?? malformedHead);
  }
  onFlood(what: Http2Flood): void {
    const { http2, tools } = this.settings;
    http2.counters.floods[what].add(1);
    const unsaid = http2.floodPace(tools.wheel.nowMs());
    if (unsaid === undefined) return;
    const { listenerName: listener, remoteHost: client } = this.downstream;
    tools.log?.warn("a client was disconnected for too much of one thing", {
      code: "WF5032",
      listener,
      client,
      what,
      unsaid,
    });
  }
  onClosed(code: number, reason: string): void {
    this.closed = true;
    const { counters } = this.settings;
    if (reason === KEEPALIVE_TIMEOUT) this.settings.http2.counters.keepaliveTimeouts.add(1);
    else if (code !== H2_ERROR.noError && code !== H2_ERROR.connectError) counters.protocolErrors.add(1);
    this.connection.end();
    const { delayedCloseTimeoutMs, tools } = this.settings;
    tools.wheel.arm(this.closeTimer, Math.max(delayedCloseTimeoutMs, 1));
  }

  private armIdle(): void {
    const { connectionIdleTimeoutMs, tools } = this.settings;
    const now = tools.wheel.nowMs();
    this.restsSinceMs = now;
    if (connectionIdleTimeoutMs > 0) tools.wheel.armAt(this.idleTimer, now + connectionIdleTimeoutMs);
  }
  private watch(): void {
    const deadline = this.codec.deadlineMs();
    if (deadline !== undefined) this.settings.tools.wheel.armAt(this.codecTimer, deadline);
  }
}

const malformed = (status: number, details: string): LocalReply => ({ status, flags: "DPE", details, body: "" });
const malformedHead = malformed(400, "http2.violation.of.messaging.rule");
const refusals: ReadonlyMap<string, LocalReply> = new Map([
  [HEAD_TOO_LARGE, malformed(431, "http2.too_many_headers")],
  [UNDERSCORE_REFUSED, malformed(400, "http2.unexpected_underscore")],
]);
const continueHead: ResponseHead = { status: 100, headers: new HeaderList() };

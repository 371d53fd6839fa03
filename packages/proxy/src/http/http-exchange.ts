import { parseGrpcStatus } from "@weft/protocols/grpc/status";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import { wait } from "../filters/http/filter.ts";
import { withFlag } from "../observe/response-flags.ts";
import type { Route, WeightedChoice } from "../routing/route.ts";
import type { AlpnOverride, BodyTranslation, DownstreamInfo, Exchange, LocalReply } from "./exchange.ts";
import { ExchangeTimers, idleKind, requestKind } from "./exchange-timers.ts";
import { fillReply, writeOwn } from "./fill-reply.ts";
import { actsOn } from "./filter-chain.ts";
import { Forwarder } from "./forwarder.ts";
import { GrpcBodies } from "./grpc-bodies.ts";
import { countEnding, countHead } from "./hcm-counters.ts";
import type { HcmSettings, HttpTools } from "./hcm-settings.ts";
import {
  badGrpcWeb,
  goneDetails,
  maxDuration,
  noRoute,
  overloaded,
  requestTimeout,
  streamIdleTimeout,
  upgradeRefused,
} from "./local-reply.ts";
import { noDownstream, noRequest } from "./no-request.ts";
import { type PreparedRequest, prepareRequest, takeForwardedScheme } from "./request-headers.ts";
import type { RequestState } from "./request-state.ts";
import { finishResponse } from "./response-headers.ts";
import { answerByRoute } from "./route-answers.ts";
import type { RequestSink, ServerStream, UpstreamIdentities } from "./streams.ts";
import { takesUpgrade, upgradeOf } from "./upgrades.ts";
import { clusterMeant } from "./upstream-choice.ts";

/** What a codec knows of a request besides its head. */
export interface RequestStart {
  readonly protocol: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";
  /** No body follows. */
  readonly end: boolean;
}

/** The one implementation of an exchange: a request through filters, route and upstream, and its answer back. */
export class HttpExchange implements Exchange, RequestSink {
  request: RequestHead = noRequest;
  response: ResponseHead;
  downstream: DownstreamInfo = noDownstream;
  protocol: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" = "HTTP/1.1";
  remoteHost: string | undefined = undefined;
  upstreamLocalAddress: string | undefined = undefined;
  upstreamTls: UpstreamIdentities | undefined = undefined;
  upstreamAlpn: AlpnOverride | undefined = undefined;
  route: Route | undefined = undefined;
  chosen: WeightedChoice | undefined = undefined;
  cluster: Cluster | undefined = undefined;
  host: Host | undefined = undefined;
  startMs = 0;
  flags = "";
  details = "";
  behind: string | undefined = undefined;
  attempts = 0;
  requestBodyBytes = 0;
  responseBodyBytes = 0;
  grpcStatus = -1;
  upstreamMs = -1;
  upstreamFailure = "";
  peer: unknown = undefined;
  state: RequestState | undefined = undefined;

  stream: ServerStream | undefined = undefined;
  settings: HcmSettings | undefined = undefined;
  readonly tools: HttpTools;
  requestEnded = false;
  /** The final head is on its way to the client. */
  responseStarted = false;
  private readonly forwarder: Forwarder;
  private readonly ownResponse: ResponseHead = { status: 0, headers: new HeaderList() };
  readonly prepared: PreparedRequest = { remoteHost: "", reply: undefined, ownId: false };
  readonly timers: ExchangeTimers;
  private readonly grpc = new GrpcBodies();
  /** The filter to go on with; -1 when none waits. */
  private waitingAt = -1;

  constructor(tools: HttpTools) {
    this.tools = tools;
    this.response = this.ownResponse;
    this.forwarder = new Forwarder(this, tools);
    this.timers = new ExchangeTimers(this, tools.wheel);
  }

  begin(
    settings: HcmSettings,
    stream: ServerStream,
    downstream: DownstreamInfo,
    head: RequestHead,
    start: RequestStart,
  ): void {
    this.request = head;
    this.protocol = start.protocol;
    this.requestEnded = start.end;
    this.enter(settings, stream, downstream);
    this.grpc.begin(head);
    this.timers.arm(settings, this.startMs, this.requestEnded);
    const { prepared } = this;
    if (this.tools.overload.shedsRequest() && downstream.bypassesOverload !== true) {
      this.reply(overloaded);
      return;
    }
    prepareRequest(settings, head, downstream, prepared);
    if (start.protocol !== "HTTP/2") takeForwardedScheme(head);
    this.remoteHost = prepared.remoteHost;
    if (prepared.reply === undefined) this.route = settings.routes.table?.match(head, downstream);
    if (prepared.reply !== undefined) this.reply(prepared.reply);
    else if (!takesUpgrade(upgradeOf(head), this.route, settings)) this.reply(upgradeRefused);
    else this.runFilters(0);
  }

  /** Counts and logs a request that was refused before it had a head. */
  refuse(settings: HcmSettings, stream: ServerStream, downstream: DownstreamInfo, reply: LocalReply): void {
    this.requestEnded = true;
    this.enter(settings, stream, downstream);
    this.flag(reply.flags);
    this.details = reply.details;
    this.ownResponse.status = reply.status;
    this.responseBodyBytes = reply.body.length;
    countHead(settings.counters, reply.status);
    this.finish();
  }

  private enter(settings: HcmSettings, stream: ServerStream, downstream: DownstreamInfo): void {
    this.settings = settings;
    this.stream = stream;
    this.downstream = downstream;
    this.startMs = this.tools.wheel.nowMs();
    const { counters } = settings;
    counters.requests.add(1);
    counters.requestsActive.add(1);
    (this.protocol === "HTTP/2" ? counters.http2Requests : counters.http1Requests).add(1);
  }

  get requestMessages(): number {
    return this.grpc.requestMessages;
  }
  get responseMessages(): number {
    return this.grpc.responseMessages;
  }
  translate(translation: BodyTranslation): void {
    this.grpc.translate(translation);
  }

  gather(most: number): void {
    this.forwarder.body.gather(most);
  }
  /** The request was made another: goes by that route through the filters, and nothing is left of the upstream it met. */
  restart(route: Route): void {
    const { settings } = this;
    if (settings === undefined) return;
    this.timers.restart(settings, this.startMs);
    this.route = route;
    this.waitingAt = -1;
    this.chosen = undefined;
    this.leaveUpstream();
    this.upstreamAlpn = undefined;
    this.attempts = 0;
    this.state = undefined;
    this.runFilters(0);
  }

  resume(reply?: LocalReply): void {
    const at = this.waitingAt;
    if (at < 0) return;
    this.waitingAt = -1;
    if (reply !== undefined) this.reply(reply);
    else this.runFilters(at);
  }

  onRequestData(bytes: Buffer): void {
    if (this.stream === undefined) return;
    this.requestBodyBytes += bytes.length;
    const body = this.grpc.active ? this.grpc.request(bytes) : bytes;
    this.timers.touch();
    if (body === undefined) this.giveUp(badGrpcWeb);
    else if (body.length > 0) this.forwarder.onRequestData(body);
  }
  onRequestTrailers(trailers: HeaderList): void {
    this.forwarder.body.trailers = trailers;
  }
  onRequestEnd(): void {
    if (this.requestEnded || this.stream === undefined) return;
    this.requestEnded = true;
    this.timers.requestEnded();
    if (this.grpc.active && !this.grpc.requestEnd()) this.giveUp(badGrpcWeb);
    else this.forwarder.onRequestEnd();
  }
  onClientWritable(): void {
    this.forwarder.onClientWritable();
  }
  onClientGone(reset = false): void {
    if (this.stream === undefined) return;
    this.flag(reset ? "DR" : "DC");
    this.details = goneDetails(this.details, reset);
    this.cluster ??= clusterMeant(this, this.tools);
    this.forwarder.cancel();
    this.finish();
  }

  onTimer(kind: number): void {
    if (this.stream === undefined) return;
    if (kind === idleKind) this.giveUp(streamIdleTimeout(this.requestEnded));
    else if (kind === requestKind) this.giveUp(requestTimeout);
    else this.giveUp(maxDuration(this.requestEnded));
  }

  /** Answers with `reply`, or cuts the answer that has begun. */
  giveUp(reply: LocalReply): void {
    this.forwarder.cancel();
    if (!this.responseStarted) {
      this.reply(reply);
      return;
    }
    this.flag(reply.flags);
    this.details = reply.details;
    this.abort();
  }

  flag(flag: string): void {
    if (flag !== "") this.flags = this.flags === "" ? flag : withFlag(this.flags, flag);
  }

  /** The cluster chosen of the route's; absent until it is. */
  get choice(): WeightedChoice | undefined {
    return this.forwarder.choice;
  }
  /** A head with which no request can go on: an answer of our own. */
  reply(reply: LocalReply, body?: Uint8Array): void {
    const { stream, settings } = this;
    if (stream === undefined || settings === undefined) return;
    this.flag(reply.flags);
    this.details = reply.details;
    this.behind = reply.object;
    this.cluster ??= clusterMeant(this, this.tools);
    const head = this.ownResponse;
    this.response = head;
    const bytes = fillReply(this, head, { reply, body }, this.grpc.active);
    if (bytes !== undefined) writeOwn(this, stream, head, bytes);
    else {
      this.writeHead(head, true);
      this.finish();
    }
  }

  /** The head goes downstream after the filters' last look at it. */
  writeHead(head: ResponseHead, end: boolean): void {
    const { settings, stream } = this;
    if (settings === undefined || stream === undefined) return;
    this.response = head;
    this.responseStarted = true;
    const { responseFilters } = settings;
    const all = this.allFilters(settings);
    for (let i = 0; i < responseFilters.length; i++) {
      const filter = responseFilters[i];
      if (filter !== undefined && (all || actsOn(filter, this.route))) filter.onResponse?.(this);
    }
    finishResponse(settings, head.headers, this.request);
    countHead(settings.counters, head.status);
    stream.writeHead(head, end);
  }

  /** False: stop the source. */
  writeData(bytes: Buffer): boolean {
    const { stream } = this;
    if (stream === undefined) return true;
    this.responseBodyBytes += bytes.length;
    this.timers.touch();
    return stream.writeData(this.grpc.active ? this.grpc.response(bytes) : bytes);
  }
  writeTrailers(trailers: HeaderList): void {
    const status = trailers.get("grpc-status");
    if (status !== undefined) this.grpcStatus = parseGrpcStatus(status);
    const frame = this.grpc.active ? this.grpc.trailers(trailers) : undefined;
    if (frame === undefined) this.stream?.writeTrailers(trailers);
    else {
      this.stream?.writeData(frame);
      this.stream?.writeEnd();
    }
    this.finish();
  }
  writeEnd(): void {
    this.stream?.writeEnd();
    this.finish();
  }
  abort(): void {
    this.stream?.abort();
    this.finish();
  }

  /** Filters' and logs' last word; afterwards the exchange serves another request. */
  finish(): void {
    const { settings, stream } = this;
    if (settings === undefined || stream === undefined) return;
    this.stream = undefined;
    this.timers.disarm();
    this.forwarder.end();
    const { endFilters, accessLogs, counters } = settings;
    counters.requestTime.record(Math.round(this.tools.wheel.nowMs() - this.startMs));
    if (this.details !== "via_upstream") {
      countEnding(counters, this);
      this.tools.log?.debug("not answered by an upstream", {
        path: this.request.path,
        status: this.response.status,
        flags: this.flags,
        details: this.details,
      });
    }
    const all = this.allFilters(settings);
    for (let i = 0; i < endFilters.length; i++) {
      const filter = endFilters[i];
      if (filter !== undefined && (all || actsOn(filter, this.route))) filter.onEnd?.(this);
    }
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]?.log(this);
    counters.requestsActive.add(-1);
    this.reset();
    stream.release();
    this.tools.exchanges.give(this);
  }

  private runFilters(from: number): void {
    const { settings } = this;
    if (settings === undefined) return;
    const { requestFilters } = settings;
    const all = this.allFilters(settings);
    for (let i = from; i < requestFilters.length; i++) {
      const filter = requestFilters[i];
      if (filter === undefined || !(all || actsOn(filter, this.route))) continue;
      const verdict = filter.onRequest?.(this);
      if (verdict === undefined) continue;
      if (verdict === wait) {
        this.waitingAt = i + 1;
        return;
      }
      this.reply(verdict);
      return;
    }
    this.answer();
  }

  /** Nothing of the chain is switched off for this request. */
  private allFilters({ filtersVary }: HcmSettings): boolean {
    return !filtersVary && this.route?.filtersOff === undefined;
  }

  private answer(): void {
    const { route } = this;
    this.settings?.counters.routed.add(1);
    if (route === undefined) {
      this.reply(noRoute);
      return;
    }
    const { action } = route;
    if (action.kind === "forward") this.forwarder.begin(route, action);
    else answerByRoute(this, route, action);
  }

  private leaveUpstream(): void {
    this.cluster = undefined;
    this.host = undefined;
    this.upstreamLocalAddress = undefined;
    this.upstreamTls = undefined;
    this.upstreamFailure = "";
  }

  private reset(): void {
    if (this.grpc.active) this.grpc.reset();
    this.request = noRequest;
    this.response = this.ownResponse;
    this.ownResponse.status = 0;
    this.ownResponse.headers.clear();
    this.settings = undefined;
    this.downstream = noDownstream;
    this.remoteHost = undefined;
    this.leaveUpstream();
    this.upstreamAlpn = undefined;
    this.route = undefined;
    this.chosen = undefined;
    this.flags = "";
    this.details = "";
    this.behind = undefined;
    this.attempts = 0;
    this.requestBodyBytes = 0;
    this.responseBodyBytes = 0;
    this.grpcStatus = -1;
    this.upstreamMs = -1;
    this.peer = undefined;
    this.state = undefined;
    this.requestEnded = false;
    this.responseStarted = false;
    this.waitingAt = -1;
  }
}

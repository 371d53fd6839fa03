import { parseGrpcStatus } from "@weft/protocols/grpc/status";
import type { ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import { breakers } from "../clusters/circuit-load.ts";
import type { Cluster } from "../clusters/cluster.ts";
import { countRetriedAnswer } from "../clusters/counters.ts";
import type { Host } from "../clusters/host.ts";
import { isConnect } from "../routing/path-matcher.ts";
import type { ForwardAction, Route, WeightedChoice } from "../routing/route.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { choosePool } from "./choose-pool.ts";
import { DynamicHost } from "./dynamic-host.ts";
import { EarlyHedge } from "./early-hedge.ts";
import type { LocalReply } from "./exchange.ts";
import { followRedirect } from "./follow-redirect.ts";
import type { HttpTools } from "./hcm-settings.ts";
import { Hedges } from "./hedges.ts";
import type { HttpExchange } from "./http-exchange.ts";
import {
  noCluster,
  perTryIdleTimeout,
  perTryTimeout,
  requestTooLarge,
  timeoutReply,
  transportReason,
  upstreamBroken,
  upstreamTimeout,
} from "./local-reply.ts";
import { RequestFlow } from "./request-flow.ts";
import { failureOf, type MutablePick, neverSent, Retries } from "./retries.ts";
import { editResponse, type Patience, setRouterHeaders, tellAgain, useHostName } from "./router-headers.ts";
import { type ClientStream, type UpstreamBreak, unprocessed } from "./streams.ts";
import { perTryIdleKind, perTryKind, TryTimers, timeoutKind } from "./try-timers.ts";
import { upgradeOf } from "./upgrades.ts";
import { answerInstead, cutShort, noteAnswer } from "./upstream-answer.ts";
import { nobodyToAsk, pickOriginal, upstreamProtocol } from "./upstream-choice.ts";

/** How often one request is sent again because connections were given up before it was seen. */
const resendsMax = 3;

/** The router of one exchange: chooses cluster and host, runs attempts, gives the answer back. Reused with it. */
export class Forwarder implements AttemptOwner {
  private readonly exchange: HttpExchange;
  private readonly tools: HttpTools;
  private attempt: Attempt;
  /** Slow tries beside `attempt`. */
  private readonly hedges = new Hedges();
  private readonly dynamic = new DynamicHost();
  private readonly retries: Retries;
  private readonly early: EarlyHedge;
  readonly body: RequestFlow;
  private readonly timers: TryTimers;
  private readonly pickRequest: MutablePick = { hash: undefined, attempt: 0, metadataMatch: undefined };
  private action: ForwardAction | undefined = undefined;
  /** The cluster chosen of the route's. */
  choice: WeightedChoice | undefined = undefined;
  private timeoutMs = 0;
  private emptyOnTimeout = false;
  private setCookie: string | undefined = undefined;
  private tunnel = false;
  private resends = 0;
  private answered = false;
  /** The try before took too long. */
  private slow = false;
  private redirects = 0;

  constructor(exchange: HttpExchange, tools: HttpTools) {
    this.exchange = exchange;
    this.tools = tools;
    this.attempt = new Attempt(this, tools.wheel);
    this.retries = new Retries(tools);
    this.early = new EarlyHedge(this.retries);
    this.body = new RequestFlow(exchange);
    this.timers = new TryTimers(this, tools.wheel);
  }

  begin(route: Route, action: ForwardAction): void {
    const { exchange, tools } = this;
    const { request, downstream } = exchange;
    this.tunnel = upgradeOf(request) !== "";
    const choice = exchange.chosen ?? action.clusterName(request, tools.random());
    this.choice = choice;
    const named = tools.cluster(choice.cluster);
    const cluster = action.high ? named?.high?.() : named;
    if (cluster === undefined) {
      exchange.reply(noCluster(action.clusterNotFoundStatus));
      return;
    }
    exchange.cluster = cluster;
    this.action = action;
    this.timeoutMs = action.timeoutFor(request);
    const retry = action.retryFor(request);
    this.retries.begin(retry, cluster, route, exchange);
    if (!this.tunnel) this.early.begin(route.hedging, request.method, cluster);
    // HTTP/2 may give a request back unseen (GOAWAY): that one can always be sent again.
    const again =
      retry !== undefined ||
      action.internalRedirect !== undefined ||
      upstreamProtocol(cluster, exchange.protocol) !== "http1";
    this.body.begin(again && !this.tunnel, route.bufferBytesMax);
    this.pickRequest.metadataMatch = action.metadataMatch;
    this.pickRequest.hash = undefined;
    if (action.hash !== undefined && cluster.byHash) {
      const { hash, setCookie } = action.hash(request, downstream);
      this.pickRequest.hash = hash;
      this.setCookie = setCookie;
    }
    choice.editRequest?.(request.headers, downstream, request, exchange);
    route.editRequest(request.headers, downstream, request, exchange);
    this.emptyOnTimeout = action.rewrite(request);
    setRouterHeaders(exchange, route, this.patience);
    exchange.timers.ofRoute(action, request, exchange.startMs);
    if (exchange.requestEnded || this.tunnel) this.timers.armTimeout(this.timeoutMs);
    this.body.mirror(tools, action.mirrors);
    this.try();
  }

  onRequestData(bytes: Buffer): void {
    if (!this.body.onData(bytes, this.attempt, this.answered)) this.exchange.giveUp(requestTooLarge);
  }
  onRequestEnd(): void {
    if (this.body.ended()) {
      this.exchange.resume();
      return;
    }
    this.timers.armTimeout(this.timeoutMs);
    const { stream, headSent } = this.attempt;
    if (headSent && stream !== undefined) this.endTry(stream);
  }
  onClientWritable(): void {
    this.attempt.stream?.resumeBody();
  }
  cancel(): void {
    this.attempt.cancel();
    this.dynamic.drop();
    this.hedges.cancel();
    this.timers.stopBackOff();
    this.answered = true;
  }

  /** The exchange is over: everything as it was before. */
  end(): void {
    this.cancel();
    this.leaveRoute();
    this.body.reset();
    this.action = undefined;
    this.timeoutMs = 0;
    this.tunnel = false;
    this.answered = false;
    this.redirects = 0;
  }
  private leaveRoute(): void {
    this.timers.disarm();
    this.retries.end();
    this.early.end();
    this.dynamic.drop();
    this.choice = undefined;
    this.setCookie = undefined;
    this.slow = false;
    this.resends = 0;
  }

  onTimer(kind: number): void {
    if (kind === timeoutKind) this.onTimeout();
    else if (kind === perTryKind) this.onPerTryTimeout(perTryTimeout);
    else if (kind === perTryIdleKind) this.onPerTryTimeout(perTryIdleTimeout);
    else {
      this.hedges.pausing = false;
      this.try();
    }
  }

  onAttemptReady(from: Attempt): void {
    const { exchange } = this;
    const { stream } = from;
    if (stream === undefined) return;
    exchange.upstreamLocalAddress = from.localAddress;
    exchange.upstreamTls = from.tls;
    this.body.sendTo(stream);
    this.timers.armIdle(this.retries.perTryIdleTimeoutMs);
    if (exchange.requestEnded) this.endTry(stream);
  }
  onAttemptInterim(head: ResponseHead): void {
    // 100 is the proxy's own to say, and it said it; 102 means nothing to anybody.
    if (head.status === 100 || head.status === 102 || this.exchange.responseStarted) return;
    this.exchange.stream?.writeInterim(head);
  }
  onAttemptHead(head: ResponseHead, end: boolean, from: Attempt): void {
    const { exchange } = this;
    const { cluster } = exchange;
    if (this.hedges.any && !this.settleHedges(from, !this.retries.wantsResponse(head, this.canReplay))) return;
    this.timers.stopTry();
    this.timers.touch();
    if (cluster !== undefined && this.triesAgain(cluster, this.retries.wantsResponse(head, this.canReplay))) {
      countRetriedAnswer(cluster.counters, head.status);
      this.retries.heed(head, this.tools.clock.wallMs());
      this.timers.endTry();
      this.attempt.cancel();
      this.retryLater();
      return;
    }
    if (this.redirected(head)) return;
    this.answered = true;
    this.retries.settle(head.status < 500);
    // What more comes of the request is not kept: nothing sends it again.
    this.body.drop();
    const tookMs = this.tools.wheel.nowMs() - this.attempt.sentMs;
    this.early.answered(head.status, tookMs);
    noteAnswer(exchange, head.status, Math.round(tookMs));
    editResponse(exchange, head, this.choice, this.setCookie);
    const grpcStatus = end ? head.headers.get("grpc-status") : undefined;
    if (grpcStatus !== undefined) exchange.grpcStatus = parseGrpcStatus(grpcStatus);
    if (this.tunnel) this.timers.stopTimeout();
    exchange.writeHead(head, end);
    if (end) exchange.finish();
  }
  onAttemptData(bytes: Buffer): void {
    this.timers.touch();
    if (!this.exchange.writeData(bytes)) this.attempt.stream?.pauseBody();
  }
  onAttemptTrailers(trailers: HeaderList): void {
    this.exchange.writeTrailers(trailers);
  }
  onAttemptEnd(): void {
    this.exchange.writeEnd();
  }
  onAttemptWritable(): void {
    this.body.resume();
  }
  onAttemptBroken(how: UpstreamBreak, detail: string, from: Attempt): void {
    const { exchange } = this;
    const { cluster } = exchange;
    if (this.hedges.any && !this.settleHedges(from, false)) return;
    this.timers.endTry();
    if (how === "refused" && detail === unprocessed && this.canReplay && this.resends < resendsMax) {
      this.resends++;
      this.try();
      return;
    }
    exchange.upstreamFailure = how === "connect-failure" ? transportReason(detail) : "";
    if (exchange.responseStarted) {
      cutShort(exchange, how);
      return;
    }
    const failure = failureOf(how, this.attempt.headSent);
    const wanted = this.retries.wantsFailure(failure, this.canReplay);
    if (cluster !== undefined && this.triesAgain(cluster, wanted, !neverSent.has(failure))) {
      this.retryLater();
      return;
    }
    answerInstead(exchange, upstreamBroken(how, exchange.upstreamFailure, this.retries.any));
  }

  /** The whole request can be sent once more. */
  private get canReplay(): boolean {
    return this.body.whole && !this.exchange.responseStarted;
  }
  private sentWithoutBody = false;

  private try(): void {
    const { exchange, tools, action } = this;
    const { cluster } = exchange;
    if (cluster === undefined || action === undefined) return;
    if (cluster.discovery.kind === "dynamic" && this.awaitsHost(cluster)) return;
    exchange.attempts++;
    const host = this.pick(cluster);
    if (host === undefined) {
      if (this.hedges.any && !this.settleHedges(this.attempt, false)) return;
      exchange.giveUp(nobodyToAsk(cluster));
      return;
    }
    exchange.host = host;
    if (exchange.attempts > 1) tellAgain(exchange, this.slow, this.patience);
    this.slow = false;
    if (action.autoHost) useHostName(exchange, host, action.keepsForwardedHost);
    if (!cluster.load.take(breakers.requests, cluster.limits.maxRequests)) {
      cluster.counters.upstreamRqPendingOverflow++;
      this.onAttemptBroken("overflow", "", this.attempt);
      return;
    }
    const body = this.body.kind(this.tunnel);
    this.sentWithoutBody = body === "none";
    const bare = this.tunnel && action.endsConnect && isConnect(exchange.request);
    this.attempt.start(cluster, host, choosePool(exchange, tools, { cluster, host, bare }), exchange.request, body);
  }

  private awaitsHost(cluster: Cluster): boolean {
    const { hedges } = this;
    hedges.pause();
    const waits = this.dynamic.awaits(this.exchange, cluster, this.tools, (reply) => {
      hedges.pausing = false;
      if (reply === undefined) this.try();
      else if (!hedges.any) this.exchange.reply(reply);
    });
    if (!waits) hedges.pausing = false;
    return waits;
  }

  private get patience(): Patience {
    // A try that hedges may take as long as all of them.
    const perTryMs = this.retries.hedges(this.action?.hedges === true) ? 0 : this.retries.perTryTimeoutMs;
    return this.timers.patience(this.timeoutMs, perTryMs);
  }

  private pick(cluster: Cluster): Host | undefined {
    const { discovery } = cluster;
    if (discovery.kind === "originalDst") return pickOriginal(this.tools, this.exchange, discovery);
    if (discovery.kind === "dynamic") return this.dynamic.host;
    return this.retries.pick(cluster, this.pickRequest);
  }

  private endTry(stream: ClientStream): void {
    if (!this.sentWithoutBody) this.body.endTo(stream);
    if (!this.answered) this.timers.armTry(this.retries.perTryTimeoutMs || this.early.waitMs());
  }

  private onTimeout(): void {
    const { exchange } = this;
    if (exchange.cluster !== undefined) exchange.cluster.counters.upstreamRqTimeout++;
    this.attempt.timedOut();
    answerInstead(exchange, timeoutReply(upstreamTimeout, this.emptyOnTimeout));
  }
  private onPerTryTimeout(reply: LocalReply): void {
    const { cluster } = this.exchange;
    if (cluster === undefined) return;
    if (this.early.waits) {
      this.hedge(cluster);
      return;
    }
    cluster.counters.upstreamRqPerTryTimeout++;
    this.attempt.timedOut();
    this.slow = true;
    if (this.retries.hedges(this.action?.hedges === true)) {
      this.hedge(cluster);
      return;
    }
    this.timers.endTry();
    this.attempt.cancel();
    if (this.triesAgain(cluster, this.retries.wantsFailure("per-try-timeout", this.canReplay))) {
      this.retryLater();
      return;
    }
    answerInstead(this.exchange, timeoutReply(reply, this.emptyOnTimeout));
  }

  /** Begins another try beside the slow one, where one is left. */
  private hedge(cluster: Cluster): void {
    // What is still to come of a body goes to one try alone.
    const beside = !this.hedges.full && this.canReplay && this.exchange.requestEnded;
    if (this.early.waits ? !beside || !this.early.take(cluster) : !this.triesAgain(cluster, beside)) return;
    this.timers.endTry();
    this.hedges.add(this.attempt);
    this.attempt = new Attempt(this, this.tools.wheel);
    this.try();
  }
  /** A try among several has ended. True when the request goes on with it. */
  private settleHedges(from: Attempt, good: boolean): boolean {
    const next = this.hedges.settle(from, this.attempt, good);
    if (next === undefined) return false;
    this.attempt = next;
    this.exchange.host = next.host;
    this.exchange.upstreamLocalAddress = next.localAddress;
    this.exchange.upstreamTls = next.tls;
    if (good) {
      this.timers.stopBackOff();
      this.dynamic.drop();
    }
    return true;
  }

  /** The upstream's redirect was followed in the client's place. */
  private redirected(head: ResponseHead): boolean {
    const { exchange, attempt, body } = this;
    const policy = this.action?.internalRedirect;
    if (policy === undefined || this.redirects >= policy.most || !exchange.requestEnded || !this.canReplay)
      return false;
    const route = followRedirect(exchange, policy, head, body);
    if (route === undefined) return false;
    this.redirects++;
    attempt.cancel();
    this.attempt = new Attempt(this, this.tools.wheel);
    this.leaveRoute();
    exchange.restart(route);
    return true;
  }

  /** Another try is wanted and may be made. */
  private triesAgain(cluster: Cluster, wanted: boolean, sent = true): boolean {
    if (!wanted) return false;
    const taken = this.retries.take(cluster, sent);
    if (!taken) this.exchange.flag(this.retries.refusalFlag);
    return taken;
  }
  private retryLater(): void {
    this.hedges.pause();
    this.timers.armBackOff(this.retries.backOffMs());
  }
}

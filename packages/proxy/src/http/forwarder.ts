import { parseGrpcStatus } from "@weft/protocols/grpc/status";
import type { ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import { breakers } from "../clusters/circuit-load.ts";
import type { Cluster } from "../clusters/cluster.ts";
import { countAnswer, countRetriedAnswer } from "../clusters/counters.ts";
import type { Host } from "../clusters/host.ts";
import { poolsOf, preconnectElsewhere } from "../pool/host-pools.ts";
import type { ForwardAction, Route, WeightedChoice } from "../routing/route.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { BodyBuffer } from "./body-buffer.ts";
import type { HttpTools } from "./hcm-settings.ts";
import type { HttpExchange } from "./http-exchange.ts";
import {
  breakFlag,
  noCluster,
  noHealthyUpstream,
  perTryTimeout,
  transportReason,
  upstreamBroken,
  upstreamTimeout,
} from "./local-reply.ts";
import { Mirrors } from "./mirror.ts";
import { failureOf, Retries } from "./retries.ts";
import { editResponse, setExpectedTimeout, setRouterHeaders } from "./router-headers.ts";
import { type RequestBody, type UpstreamBreak, unprocessed } from "./streams.ts";
import { upgradeOf } from "./upgrades.ts";
import { pickOriginal, upstreamAlpn, upstreamProtocol } from "./upstream-choice.ts";

const timeoutKind = 0;
const perTryKind = 1;
const backOffKind = 2;
/** How often one request is sent again because connections were given up before it was seen. */
const resendsMax = 3;

/** The router of one exchange: chooses cluster and host, runs attempts, gives the answer back. Reused with it. */
export class Forwarder implements AttemptOwner {
  trailers: HeaderList | undefined = undefined;
  private readonly exchange: HttpExchange;
  private readonly tools: HttpTools;
  private readonly attempt: Attempt;
  private readonly retries: Retries;
  private readonly body = new BodyBuffer();
  private readonly mirrors = new Mirrors();
  private readonly timeout: WheelTimer;
  private readonly perTry: WheelTimer;
  private readonly backOff: WheelTimer;
  private readonly pickRequest: { hash: bigint | undefined } = { hash: undefined };
  private action: ForwardAction | undefined = undefined;
  private choice: WeightedChoice | undefined = undefined;
  private timeoutMs = 0;
  private setCookie: string | undefined = undefined;
  private tunnel = false;
  private keepsBody = false;
  private resends = 0;
  private sentMs = 0;
  private bodyPaused = false;
  private answered = false;

  constructor(exchange: HttpExchange, tools: HttpTools) {
    this.exchange = exchange;
    this.tools = tools;
    this.attempt = new Attempt(this, tools.wheel);
    this.retries = new Retries(tools.random);
    this.timeout = new WheelTimer(this, timeoutKind);
    this.perTry = new WheelTimer(this, perTryKind);
    this.backOff = new WheelTimer(this, backOffKind);
  }

  begin(route: Route, action: ForwardAction): void {
    const { exchange, tools } = this;
    const { request, downstream } = exchange;
    this.tunnel = upgradeOf(request) !== "";
    const choice = action.clusterName(request, tools.random());
    const cluster = tools.cluster(choice.cluster);
    if (cluster === undefined) {
      exchange.reply(noCluster(action.clusterNotFoundStatus));
      return;
    }
    exchange.cluster = cluster;
    this.action = action;
    this.choice = choice;
    this.timeoutMs = action.timeoutFor(request);
    const retry = action.retryFor(request);
    this.retries.begin(retry, cluster);
    // HTTP/2 may give a request back unseen (GOAWAY): that one can always be sent again.
    this.keepsBody = !this.tunnel && (retry !== undefined || upstreamProtocol(cluster, exchange.protocol) !== "http1");
    if (!this.keepsBody) this.body.whole = false;
    this.pickRequest.hash = undefined;
    if (action.hash !== undefined) {
      const { hash, setCookie } = action.hash(request, downstream);
      this.pickRequest.hash = hash;
      this.setCookie = setCookie;
    }
    choice.editRequest?.(request.headers, downstream, request, exchange);
    route.editRequest(request.headers, downstream, request, exchange);
    action.rewrite(request);
    const { timeoutMs } = this;
    setRouterHeaders(exchange, route, { timeoutMs, perTryMs: retry?.perTryTimeoutMs ?? 0, leftMs: timeoutMs });
    if (action.idleTimeoutMs !== undefined) exchange.setIdleTimeout(action.idleTimeoutMs);
    const durationMs = action.durationFor?.(request);
    if (durationMs !== undefined) exchange.setMaxDuration(durationMs);
    if (exchange.requestEnded || this.tunnel) this.armTimeout();
    this.mirrors.begin(tools, action.mirrors, exchange);
    if (exchange.requestEnded) this.mirrors.send();
    this.try();
  }

  onRequestData(bytes: Buffer): void {
    this.mirrors.onRequestData(bytes);
    const { stream } = this.attempt;
    if (this.attempt.headSent && stream !== undefined) {
      this.body.keep(bytes);
      if (!stream.writeData(bytes)) this.pauseBody();
      return;
    }
    if (this.answered) return;
    // No stream yet: the body waits here, and its source stops when that is enough.
    this.body.add(bytes);
    if (this.body.full) this.pauseBody();
  }
  onRequestEnd(): void {
    const { stream } = this.attempt;
    this.armTimeout();
    this.mirrors.send();
    if (this.attempt.headSent && stream !== undefined) this.endRequest();
  }
  onClientWritable(): void {
    this.attempt.stream?.resumeBody();
  }
  cancel(): void {
    this.attempt.cancel();
    this.backOff.disarm();
    this.answered = true;
  }

  /** The exchange is over: everything as it was before. */
  end(): void {
    this.attempt.cancel();
    this.timeout.disarm();
    this.perTry.disarm();
    this.backOff.disarm();
    this.retries.end();
    this.mirrors.drop();
    this.body.reset();
    this.trailers = undefined;
    this.action = undefined;
    this.choice = undefined;
    this.setCookie = undefined;
    this.timeoutMs = 0;
    this.tunnel = false;
    this.resends = 0;
    this.bodyPaused = false;
    this.answered = false;
  }

  onTimer(kind: number): void {
    switch (kind) {
      case timeoutKind:
        this.onTimeout();
        return;
      case perTryKind:
        this.onPerTryTimeout();
        return;
      default:
        this.try();
    }
  }

  onAttemptReady(): void {
    const { exchange } = this;
    const { stream } = this.attempt;
    if (stream === undefined) return;
    exchange.upstreamLocalAddress = stream.localAddress;
    exchange.upstreamTls = stream.tls;
    this.sentMs = this.tools.wheel.nowMs();
    if (this.body.bytes > 0) {
      const free = this.body.sendTo((bytes) => stream.writeData(bytes));
      if (!this.keepsBody) this.body.drop();
      if (free) this.resumeBody();
      else this.pauseBody();
    } else this.resumeBody();
    if (exchange.requestEnded) {
      this.armPerTry();
      if (!this.sentWithoutBody) this.endRequest();
    }
  }
  onAttemptInterim(head: ResponseHead): void {
    // 100 is the proxy's own to say, and it said it; 102 means nothing to anybody.
    if (head.status === 100 || head.status === 102 || this.exchange.responseStarted) return;
    this.exchange.stream?.writeInterim(head);
  }
  onAttemptHead(head: ResponseHead, end: boolean): void {
    const { exchange } = this;
    const { cluster } = exchange;
    this.perTry.disarm();
    if (cluster !== undefined && this.retries.wantsResponse(head, this.canReplay)) {
      if (this.retries.take(cluster)) {
        countRetriedAnswer(cluster.counters, head.status);
        this.attempt.cancel();
        this.retryLater();
        return;
      }
      exchange.flag(this.retries.refusalFlag);
    }
    this.answered = true;
    this.retries.settle(head.status < 500);
    // What more comes of the request is not kept: nothing sends it again.
    this.body.drop();
    exchange.details = "via_upstream";
    exchange.upstreamMs = Math.round(this.tools.wheel.nowMs() - this.sentMs);
    if (cluster !== undefined) {
      countAnswer(cluster.counters, head.status);
      cluster.times.requestTook(exchange.upstreamMs);
    }
    editResponse(exchange, head, this.choice, this.setCookie);
    const grpcStatus = end ? head.headers.get("grpc-status") : undefined;
    if (grpcStatus !== undefined) exchange.grpcStatus = parseGrpcStatus(grpcStatus);
    if (this.tunnel) this.timeout.disarm();
    exchange.writeHead(head, end);
    if (end) exchange.finish();
  }
  onAttemptData(bytes: Buffer): void {
    if (!this.exchange.writeData(bytes)) this.attempt.stream?.pauseBody();
  }
  onAttemptTrailers(trailers: HeaderList): void {
    this.exchange.writeTrailers(trailers);
  }
  onAttemptEnd(): void {
    this.exchange.writeEnd();
  }
  onAttemptWritable(): void {
    this.resumeBody();
  }
  onAttemptBroken(how: UpstreamBreak, detail: string): void {
    const { exchange } = this;
    const { cluster } = exchange;
    this.perTry.disarm();
    if (how === "refused" && detail === unprocessed && this.canReplay && this.resends < resendsMax) {
      this.resends++;
      this.try();
      return;
    }
    exchange.upstreamFailure = how === "connect-failure" ? transportReason(detail) : "";
    if (exchange.responseStarted) {
      exchange.flag(breakFlag(how));
      exchange.details = `upstream_reset_after_response_started{${how.replaceAll("-", "_")}}`;
      exchange.abort();
      return;
    }
    const failure = failureOf(how, this.attempt.headSent);
    if (cluster !== undefined && this.retries.wantsFailure(failure, this.canReplay)) {
      if (this.retries.take(cluster)) {
        this.retryLater();
        return;
      }
      exchange.flag(this.retries.refusalFlag);
    }
    this.answered = true;
    const answer = upstreamBroken(how, exchange.upstreamFailure, this.retries.any);
    if (cluster !== undefined) countAnswer(cluster.counters, answer.status);
    exchange.reply(answer);
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
    exchange.attempts++;
    const host = this.pick(cluster);
    if (host === undefined) {
      this.answered = true;
      cluster.counters.upstreamCxNoneHealthy++;
      countAnswer(cluster.counters, noHealthyUpstream.status);
      exchange.reply(noHealthyUpstream);
      return;
    }
    exchange.host = host;
    if (exchange.attempts > 1) this.tellAgain();
    if (!cluster.load.take(breakers.requests, cluster.limits.maxRequests)) {
      cluster.counters.upstreamRqPendingOverflow++;
      this.onAttemptBroken("overflow", "");
      return;
    }
    const pools = poolsOf(host, tools.pools);
    const body = this.requestBody();
    this.sentWithoutBody = body === "none";
    if (this.tunnel && exchange.request.method === "CONNECT" && exchange.request.protocol === "") {
      this.attempt.start(cluster, host, pools.tunnelTo(cluster, host, exchange.downstream), exchange.request, body);
      return;
    }
    const protocol = upstreamProtocol(cluster, exchange.protocol);
    const alpn = upstreamAlpn(this.exchange, protocol);
    const pool = pools.poolFor(cluster, host, protocol, alpn, exchange.downstream);
    this.attempt.start(cluster, host, pool, exchange.request, body);
    if (cluster.preconnect.predictiveRatio > 1) preconnectElsewhere(tools.pools, cluster, protocol, alpn);
  }

  /** What the upstream is told of a try that is not the first. */
  private tellAgain(): void {
    const { exchange, timeoutMs, timeout, tools } = this;
    if (exchange.route?.attemptCount.inRequest) {
      exchange.request.headers.set("x-envoy-attempt-count", String(exchange.attempts));
    }
    const leftMs = timeout.armed ? timeout.deadlineMs - tools.wheel.nowMs() : timeoutMs;
    setExpectedTimeout(exchange, { timeoutMs, perTryMs: this.retries.perTryTimeoutMs, leftMs });
  }

  private requestBody(): RequestBody {
    if (this.tunnel) return "tunnel";
    return this.exchange.requestEnded && this.body.bytes === 0 && this.trailers === undefined ? "none" : "open";
  }

  private pick(cluster: Cluster): Host | undefined {
    const { discovery } = cluster;
    if (discovery.kind === "originalDst") return pickOriginal(this.tools, this.exchange, discovery.useHeader);
    return this.retries.pick(cluster, this.pickRequest);
  }

  private endRequest(): void {
    const { stream } = this.attempt;
    if (this.trailers !== undefined) stream?.writeTrailers(this.trailers);
    else stream?.writeEnd();
    if (this.attempt.headSent) this.armPerTry();
  }

  private armTimeout(): void {
    if (this.timeoutMs > 0 && !this.timeout.armed) this.tools.wheel.arm(this.timeout, this.timeoutMs);
  }
  private armPerTry(): void {
    const perTryMs = this.retries.perTryTimeoutMs;
    if (perTryMs > 0 && !this.answered) this.tools.wheel.arm(this.perTry, perTryMs);
  }

  private onTimeout(): void {
    const { exchange } = this;
    if (exchange.cluster !== undefined) {
      exchange.cluster.counters.upstreamRqTimeout++;
      if (!exchange.responseStarted) countAnswer(exchange.cluster.counters, upstreamTimeout.status);
    }
    this.attempt.timedOut();
    exchange.giveUp(upstreamTimeout);
  }
  private onPerTryTimeout(): void {
    const { exchange } = this;
    const { cluster } = exchange;
    if (cluster === undefined) return;
    cluster.counters.upstreamRqPerTryTimeout++;
    this.attempt.timedOut();
    this.attempt.cancel();
    if (this.retries.wantsFailure("per-try-timeout", this.canReplay)) {
      if (this.retries.take(cluster)) {
        this.retryLater();
        return;
      }
      exchange.flag(this.retries.refusalFlag);
    }
    this.answered = true;
    countAnswer(cluster.counters, perTryTimeout.status);
    exchange.reply(perTryTimeout);
  }

  private retryLater(): void {
    this.tools.wheel.arm(this.backOff, this.retries.backOffMs());
  }

  private pauseBody(): void {
    if (this.bodyPaused) return;
    this.bodyPaused = true;
    this.exchange.stream?.pauseBody();
  }
  private resumeBody(): void {
    if (!this.bodyPaused) return;
    this.bodyPaused = false;
    this.exchange.stream?.resumeBody();
  }
}

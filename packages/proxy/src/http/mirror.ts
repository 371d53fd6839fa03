import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import { poolsOf } from "../pool/host-pools.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { BodyBuffer } from "./body-buffer.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpTools } from "./hcm-settings.ts";
import { upstreamProtocol } from "./upstream-choice.ts";

const mirrorTimeoutMs = 15_000;
const noHash = { hash: undefined };

/** `host:80` becomes `host-shadow:80`, as Envoy marks mirrored requests. */
const shadowAuthority = (authority: string): string => {
  const colon = authority.lastIndexOf(":");
  if (colon <= 0 || authority.endsWith("]")) return `${authority}-shadow`;
  return `${authority.slice(0, colon)}-shadow${authority.slice(colon)}`;
};

/**
 * A copy of a request, sent once it is whole; the answer is read and dropped. A body larger than what is kept for a
 * retry is not mirrored, nor is its request.
 */
export class Mirror implements AttemptOwner {
  private readonly tools: HttpTools;
  private readonly clusterName: string;
  private readonly request: RequestHead;
  private readonly protocol: Exchange["protocol"];
  private readonly body = new BodyBuffer();
  private readonly attempt: Attempt;
  private readonly timer: WheelTimer;

  constructor(tools: HttpTools, clusterName: string, { request, protocol }: Exchange) {
    this.tools = tools;
    this.protocol = protocol;
    this.clusterName = clusterName;
    const headers = new HeaderList();
    headers.copyFrom(request.headers);
    this.request = { ...request, headers, authority: shadowAuthority(request.authority) };
    this.attempt = new Attempt(this, tools.wheel);
    this.timer = new WheelTimer({ onTimer: () => this.attempt.cancel() }, 0);
  }

  onRequestData(bytes: Buffer): void {
    this.body.keep(bytes);
  }
  /** The request is whole: off it goes. */
  send(): void {
    const { tools, request } = this;
    const cluster = tools.cluster(this.clusterName);
    if (!this.body.whole || cluster === undefined) return;
    if (cluster.load.requests >= cluster.limits.maxRequests) return;
    const host = cluster.pick(noHash);
    if (host === undefined) return;
    const protocol = upstreamProtocol(cluster, this.protocol);
    const pool = poolsOf(host, tools.pools).poolFor(cluster, host, protocol, undefined);
    tools.wheel.arm(this.timer, mirrorTimeoutMs);
    this.attempt.start(cluster, host, pool, request, this.body.bytes === 0 ? "none" : "open");
  }

  onAttemptReady(): void {
    const { stream } = this.attempt;
    if (stream === undefined || this.body.bytes === 0) return;
    this.body.sendTo((bytes) => stream.writeData(bytes));
    stream.writeEnd();
    this.body.drop();
  }
  onAttemptInterim(): void {}
  onAttemptHead(_head: ResponseHead, end: boolean): void {
    if (end) this.timer.disarm();
  }
  onAttemptData(): void {}
  onAttemptTrailers(): void {
    this.timer.disarm();
  }
  onAttemptEnd(): void {
    this.timer.disarm();
  }
  onAttemptWritable(): void {}
  onAttemptBroken(): void {
    this.timer.disarm();
  }
}

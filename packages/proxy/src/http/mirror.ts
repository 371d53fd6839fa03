import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import { breakers } from "../clusters/circuit-load.ts";
import { countAnswer } from "../clusters/counters.ts";
import { poolsOf } from "../pool/host-pools.ts";
import type { MirrorPolicy } from "../routing/mirror-policy.ts";
import type { ForwardAction } from "../routing/route.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { BodyBuffer } from "./body-buffer.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpTools } from "./hcm-settings.ts";
import { upstreamName, upstreamProtocol } from "./upstream-choice.ts";

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
class Mirror implements AttemptOwner {
  private readonly tools: HttpTools;
  private readonly clusterName: string;
  private readonly request: RequestHead;
  private readonly protocol: Exchange["protocol"];
  private readonly body = new BodyBuffer();
  private readonly attempt: Attempt;
  private readonly timer: WheelTimer;

  constructor(tools: HttpTools, clusterName: string, { request, protocol, downstream }: Exchange, keepHost: boolean) {
    this.tools = tools;
    this.protocol = protocol;
    this.clusterName = clusterName;
    const headers = new HeaderList();
    headers.copyFrom(request.headers);
    // As Envoy marks requests of its own: from inside, by way of this proxy.
    headers.set("x-envoy-internal", "true");
    const before = headers.getJoined("x-forwarded-for");
    headers.set("x-forwarded-for", before === undefined ? downstream.localHost : `${before},${downstream.localHost}`);
    this.request = {
      ...request,
      headers,
      authority: keepHost ? request.authority : shadowAuthority(request.authority),
    };
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
    const host = cluster.pick(noHash);
    if (host === undefined || !cluster.load.take(breakers.requests, cluster.limits.maxRequests)) return;
    const protocol = upstreamProtocol(cluster, this.protocol);
    const serverName = upstreamName(cluster, request);
    const pools = poolsOf(host, tools.pools);
    const pool =
      serverName === ""
        ? pools.poolFor(cluster, host, protocol, undefined)
        : pools.poolNamed(serverName, cluster, { host, protocol, alpn: undefined });
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
  onAttemptHead({ status }: ResponseHead, end: boolean): void {
    const cluster = this.tools.cluster(this.clusterName);
    if (cluster !== undefined) countAnswer(cluster.counters, status);
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

/** The copies of one request, each drawn for by its share; none where the route asks for none. */
export class Mirrors {
  private readonly list: Mirror[] = [];

  /** `body` is what came of the request's body already. */
  begin(tools: HttpTools, wanted: ForwardAction["mirrors"], exchange: Exchange, body: BodyBuffer): void {
    for (let i = 0; i < wanted.length; i++) {
      const { cluster, clusterOf, share, keepHost } = wanted[i] as MirrorPolicy;
      if (share < 1 && tools.random() >= share) continue;
      const name = clusterOf === undefined ? cluster : (clusterOf(exchange.request) ?? "");
      if (name !== "") this.list.push(new Mirror(tools, name, exchange, keepHost));
    }
    if (this.list.length === 0 || body.bytes === 0) return;
    body.sendTo((bytes) => {
      this.onRequestData(bytes);
      return true;
    });
  }
  onRequestData(bytes: Buffer): void {
    for (let i = 0; i < this.list.length; i++) this.list[i]?.onRequestData(bytes);
  }
  /** The request is whole: off they go. */
  send(): void {
    for (let i = 0; i < this.list.length; i++) this.list[i]?.send();
    this.list.length = 0;
  }
  drop(): void {
    this.list.length = 0;
  }
}

import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { breakers } from "../clusters/circuit-load.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import { Attempt, type AttemptOwner } from "../http/attempt.ts";
import type { UpstreamBreak, UpstreamIdentities } from "../http/streams.ts";
import { upstreamProtocol } from "../http/upstream-choice.ts";
import { poolsOf } from "../pool/host-pools.ts";
import type { TunnelSettings } from "./compile-tunnel.ts";
import type { DialTarget, DialTools } from "./tcp-dial.ts";
import type { LinkOwner, UpstreamLink } from "./upstream-link.ts";

/** A tunnel through the proxy at a host: a stream of its pool, that carries bytes once the answer says so. */
export class TunnelDial implements UpstreamLink, AttemptOwner {
  readonly cluster: Cluster;
  readonly host: Host;
  owner: LinkOwner;
  ready = false;
  open = false;
  congested = false;
  private readonly settings: TunnelSettings;
  private readonly tools: DialTools;
  private readonly target: DialTarget;
  private readonly attempt: Attempt;
  private abandoned = false;
  private ended = false;

  constructor(settings: TunnelSettings, tools: DialTools, target: DialTarget, owner: LinkOwner) {
    this.settings = settings;
    this.tools = tools;
    this.target = target;
    this.cluster = target.cluster;
    this.host = target.host;
    this.owner = owner;
    this.attempt = new Attempt(this, tools.wheel);
  }

  get identities(): UpstreamIdentities | undefined {
    return this.attempt.stream?.tls;
  }
  get localAddress(): string {
    return this.attempt.stream?.localAddress ?? "";
  }

  start(): string | undefined {
    const { cluster, host, tools, settings } = this;
    if (!cluster.load.take(breakers.requests, cluster.limits.maxRequests)) {
      cluster.counters.upstreamRqPendingOverflow++;
      return "overflow";
    }
    const transport = cluster.transportOf(host);
    const { downstream } = this.target;
    const head: RequestHead = settings.head(downstream, transport.kind === "tls");
    const protocol = upstreamProtocol(cluster, "HTTP/1.1");
    const pool = poolsOf(host, tools.pools).poolFor(cluster, host, protocol, undefined, downstream);
    this.open = true;
    this.attempt.start(cluster, host, pool, head, settings.post ? "open" : "tunnel");
    return undefined;
  }

  write(bytes: Buffer): void {
    this.congested = this.attempt.stream?.writeData(bytes) === false;
  }
  pause(): void {
    this.attempt.stream?.pauseBody();
  }
  resume(): void {
    this.attempt.stream?.resumeBody();
  }
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.attempt.stream?.writeEnd();
  }
  endWithin(): void {
    this.end();
  }
  reset(): void {
    this.destroy();
  }
  destroy(): void {
    if (!this.open) return;
    this.open = false;
    this.attempt.cancel();
    if (!this.abandoned) this.owner.onServerClose(undefined);
  }
  abandon(): void {
    this.abandoned = true;
    this.destroy();
  }

  onAttemptReady(): void {}
  onAttemptInterim(): void {}
  onAttemptHead(head: ResponseHead, end: boolean): void {
    const protocol = this.attempt.stream?.protocol ?? "HTTP/1.1";
    if (!end && this.settings.opened(head, protocol)) {
      this.ready = true;
      this.owner.onDialed(this);
      return;
    }
    this.open = false;
    this.attempt.cancel();
    if (!this.abandoned) this.owner.onNotDialed(this, `the tunnel was answered with ${head.status}`);
  }
  onAttemptData(bytes: Buffer): void {
    if (this.open) this.owner.onServerRead(bytes);
  }
  onAttemptTrailers(): void {
    this.onAttemptEnd();
  }
  onAttemptEnd(): void {
    if (!this.open) return;
    this.owner.onServerEnd();
    this.open = false;
    this.attempt.cancel();
    if (!this.abandoned) this.owner.onServerClose(undefined);
  }
  onAttemptWritable(): void {
    this.congested = false;
    if (this.open) this.owner.onServerDrain();
  }
  onAttemptBroken(how: UpstreamBreak, detail: string): void {
    if (!this.open) return;
    this.open = false;
    if (this.abandoned) return;
    if (this.ready) this.owner.onServerClose(undefined);
    else this.owner.onNotDialed(this, detail || how);
  }
}

import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import { failureText, openUpstream } from "../pool/open-upstream.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import { connectionClosed, connectionFailed, connectionNotMade, connectionOpened } from "../pool/upstream-slots.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { TcpPick } from "./tcp-choice.ts";
import type { LinkOwner, UpstreamLink } from "./upstream-link.ts";

export interface DialTools {
  readonly wheel: TimerWheel;
  readonly pools: PoolTools;
}

export interface DialTarget {
  readonly cluster: Cluster;
  readonly host: Host;
  readonly downstream: DownstreamInfo;
}

/** One connection to a host for bare bytes, counted against its cluster from its first moment. Its owner may change. */
export class TcpDial implements ConnectionHandler, UpstreamLink {
  owner: LinkOwner;
  readonly cluster: Cluster;
  readonly host: Host;
  /** What was asked of the host, where it may have to be asked of another one. */
  pick: TcpPick | undefined = undefined;
  ready = false;
  identities: UpstreamIdentities | undefined = undefined;
  private readonly tools: DialTools;
  private readonly downstream: DownstreamInfo;
  private timer: WheelTimer;
  private connection: Connection | undefined = undefined;
  private abandoned = false;

  constructor(tools: DialTools, target: DialTarget, owner: LinkOwner) {
    this.tools = tools;
    this.downstream = target.downstream;
    this.cluster = target.cluster;
    this.host = target.host;
    this.owner = owner;
    this.timer = new WheelTimer(this, 0);
  }

  /** Connects over what was reserved of the cluster's connections. */
  start(): string | undefined {
    const { cluster, host, tools, downstream } = this;
    const transport = cluster.transportOf(host);
    const alpn = transport.kind === "tls" ? transport.alpn : [];
    const opened = openUpstream(tools.pools, { cluster, host, transport, alpn, downstream }, (identities) => {
      this.identities = identities;
      this.onConnected();
    });
    if (typeof opened === "string") {
      connectionNotMade(cluster);
      connectionFailed(cluster, false);
      return opened;
    }
    this.connection = opened;
    connectionOpened(cluster, host);
    cluster.counters.upstreamRqPendingTotal++;
    host.counts.enter();
    tools.wheel.arm(this.timer, cluster.connectTimeoutMs);
    opened.handler = this;
    return undefined;
  }

  get localAddress(): string {
    const { connection } = this;
    return connection === undefined ? "" : `${connection.localHost}:${connection.localPort}`;
  }
  get open(): boolean {
    return this.connection?.open === true;
  }
  get congested(): boolean {
    return this.connection?.congested === true;
  }
  write(bytes: Buffer): void {
    this.connection?.write(bytes);
  }
  pause(): void {
    this.connection?.pause();
  }
  resume(): void {
    this.connection?.resume();
  }
  end(): void {
    this.connection?.end();
  }
  endWithin(timeoutMs: number): void {
    if (timeoutMs > 0) {
      this.timer = new WheelTimer(this, 0);
      this.tools.wheel.arm(this.timer, timeoutMs);
    }
    this.end();
  }
  reset(): void {
    this.connection?.reset();
  }
  destroy(): void {
    this.connection?.destroy();
  }
  abandon(): void {
    this.abandoned = true;
    this.connection?.destroy();
  }

  onTimer(): void {
    this.connection?.destroy(Object.assign(new Error("connect timeout"), { code: connectTimedOut }));
  }
  onRead(bytes: Buffer): void {
    if (!this.abandoned) this.owner.onServerRead(bytes);
  }
  onPeerEnd(): void {
    if (!this.abandoned) this.owner.onServerEnd();
  }
  onDrain(): void {
    if (!this.abandoned) this.owner.onServerDrain();
  }
  onClose(error: NodeJS.ErrnoException | undefined): void {
    const { cluster, host } = this;
    connectionClosed(cluster, host);
    host.counts.leave();
    this.timer.retire();
    if (this.abandoned) return;
    if (this.ready) {
      this.owner.onServerClose(error);
      return;
    }
    const timedOut = error?.code === connectTimedOut;
    connectionFailed(cluster, timedOut);
    const cause = timedOut ? "connect-timeout" : "connect-failure";
    cluster.report(host, { kind: "localOrigin", cause }, this.tools.wheel.nowMs());
    this.owner.onNotDialed(this, timedOut ? "connection timeout" : failureText(error));
  }

  private onConnected(): void {
    this.ready = true;
    this.timer.retire();
    this.cluster.counters.upstreamRqTotal++;
    this.host.stats.rqTotal++;
    this.cluster.report(this.host, { kind: "connected" }, this.tools.wheel.nowMs());
    if (!this.abandoned) this.owner.onDialed(this);
  }
}

const connectTimedOut = "EWEFTCONNECTTIMEOUT";

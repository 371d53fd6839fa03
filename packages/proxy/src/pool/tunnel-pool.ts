import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { ClientStream, UpstreamIdentities } from "../http/streams.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { type Lease, type LeaseReport, LeaseWatch } from "./leases.ts";
import { failureText, openUpstream, type UpstreamTarget } from "./open-upstream.ts";
import type { PoolTools } from "./pool-tools.ts";
import type { PoolWaiter, StreamPool } from "./pool-waiter.ts";
import {
  connectionClosed,
  connectionFailed,
  connectionNotMade,
  connectionOpened,
  reserveConnection,
} from "./upstream-slots.ts";

/** CONNECT ends here: each request gets a bare connection of its own to the host, and the answer 200 once it stands. */
export class TunnelPool implements StreamPool {
  private readonly tools: PoolTools;
  private target: UpstreamTarget;
  private readonly open = new Map<PoolWaiter, TunnelStream>();
  private readonly leases = new LeaseWatch();

  constructor(tools: PoolTools, target: UpstreamTarget) {
    this.tools = tools;
    this.target = target;
  }
  get connections(): number {
    return this.open.size;
  }
  retarget(target: UpstreamTarget): void {
    this.target = target;
  }
  acquire(waiter: PoolWaiter): void {
    const { cluster, host } = this.target;
    if (!reserveConnection(cluster, host)) {
      cluster.counters.upstreamCxOverflow++;
      waiter.onNoStream("overflow", "");
      return;
    }
    const { target } = this;
    let stream: TunnelStream | undefined;
    const connection = openUpstream(this.tools, target, (tls) => stream?.connected(tls));
    if (typeof connection === "string") {
      connectionNotMade(cluster);
      connectionFailed(cluster, false);
      waiter.onNoStream("connect-failure", connection);
      return;
    }
    connectionOpened(cluster, host);
    stream = new TunnelStream(connection, waiter, () => {
      // Who withdrew may have asked anew before this connection was closed.
      if (this.open.get(waiter) === stream) this.open.delete(waiter);
      connectionClosed(cluster, host);
      if (stream?.ready === false) connectionFailed(cluster, stream.timedOut);
    });
    this.open.set(waiter, stream);
    this.tools.wheel.arm(stream.timer, cluster.connectTimeoutMs);
  }
  withdraw(waiter: PoolWaiter): void {
    this.open.get(waiter)?.cancel();
  }
  prepare(): void {}
  /** Each is for one tunnel, and ends with it. */
  visitIdle(): void {}

  sweep(): LeaseReport {
    return this.leases.sweep(this.open.values());
  }
  drain(): void {}
}

class TunnelStream implements ClientStream, ConnectionHandler, Lease {
  readonly protocol = "HTTP/1.1";
  readonly timer: WheelTimer;
  tls: UpstreamIdentities | undefined = undefined;
  ready = false;
  timedOut = false;
  private readonly connection: Connection;
  private waiter: PoolWaiter | undefined;
  private readonly onGone: () => void;
  private readonly answer: ResponseHead = { status: 200, headers: new HeaderList() };

  constructor(connection: Connection, waiter: PoolWaiter, onGone: () => void) {
    this.connection = connection;
    this.waiter = waiter;
    this.onGone = onGone;
    this.timer = new WheelTimer(
      {
        onTimer: () => {
          this.timedOut = true;
          connection.destroy();
        },
      },
      0,
    );
    connection.handler = this;
  }
  get localAddress(): string {
    return `${this.connection.localHost}:${this.connection.localPort}`;
  }
  get held(): boolean {
    return !this.ready || this.waiter?.holds?.(this) !== false;
  }
  get bytes(): number {
    return this.connection.bytesIn + this.connection.bytesOut;
  }
  reclaim(): void {
    this.cancel();
  }
  connected(tls: UpstreamIdentities | undefined): void {
    this.tls = tls;
    this.ready = true;
    this.timer.disarm();
    const { waiter } = this;
    waiter?.onStream(this);
    this.waiter?.onHead(this.answer, false);
  }
  writeHead(): boolean {
    return true;
  }
  writeData(bytes: Buffer): boolean {
    this.connection.write(bytes);
    return !this.connection.congested;
  }
  writeTrailers(): void {
    this.writeEnd();
  }
  writeEnd(): void {
    this.connection.end();
  }
  cancel(): void {
    this.waiter = undefined;
    this.connection.destroy();
  }
  pauseBody(): void {
    this.connection.pause();
  }
  resumeBody(): void {
    this.connection.resume();
  }
  onRead(bytes: Buffer): void {
    this.waiter?.onData(bytes);
  }
  onPeerEnd(): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.onEnd();
    this.connection.end();
  }
  onDrain(): void {
    this.waiter?.onWritable();
  }
  onClose(error: NodeJS.ErrnoException | undefined): void {
    this.timer.disarm();
    this.onGone();
    const { waiter } = this;
    this.waiter = undefined;
    if (waiter === undefined) return;
    if (this.ready) waiter.onBroken("connection-termination", error?.message ?? "");
    else waiter.onNoStream(this.timedOut ? "connect-timeout" : "connect-failure", failureText(error));
  }
}

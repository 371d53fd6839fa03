import type { Connection } from "@weft/net/tcp/connection";
import type { UpstreamIdentities } from "../http/streams.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import { type HandOver, isHttp2Alpn } from "./hand-over.ts";
import { Http2Client, type Http2ClientOwner } from "./http2-client.ts";
import { type LeaseReport, LeaseWatch } from "./leases.ts";
import { connectionLasted, failureText, openUpstream, type UpstreamTarget } from "./open-upstream.ts";
import type { PoolTools } from "./pool-tools.ts";
import { type PoolWaiter, type StreamPool, WaiterQueue } from "./pool-waiter.ts";
import {
  connectionClosed,
  connectionFailed,
  connectionNotMade,
  connectionOpened,
  enterPending,
  forceConnection,
  leavePending,
  reserveConnection,
} from "./upstream-slots.ts";

/** HTTP/2 connections to one host, shared by requests; another is opened when the streams of all are used up. */
export class Http2Pool implements StreamPool, Http2ClientOwner {
  private readonly tools: PoolTools;
  private target: UpstreamTarget;
  private readonly clients: Http2Client[] = [];
  private readonly waiting = new WaiterQueue();
  private connecting = 0;
  private draining = false;
  private readonly handOver: HandOver | undefined;
  private readonly leases = new LeaseWatch();

  /** With `handOver` ALPN decides: connections that turn out to speak HTTP/1 go there. */
  constructor(tools: PoolTools, target: UpstreamTarget, handOver?: HandOver) {
    this.tools = tools;
    this.target = target;
    this.handOver = handOver;
  }

  get connections(): number {
    return this.clients.length;
  }

  retarget(target: UpstreamTarget): void {
    this.target = target;
  }

  acquire(waiter: PoolWaiter): void {
    const client = this.withRoom();
    if (client !== undefined) {
      this.give(client, waiter);
      if (this.target.cluster.preconnect.perUpstreamRatio > 1) this.preconnect();
      return;
    }
    if (!enterPending(this.target.cluster, this.target.host)) {
      waiter.onNoStream("overflow", "");
      return;
    }
    this.waiting.push(waiter);
    this.connectIfNeeded();
  }

  withdraw(waiter: PoolWaiter): void {
    if (this.waiting.remove(waiter)) leavePending(this.target.cluster, this.target.host);
  }

  prepare(): void {
    if (this.clients.length === 0 && !this.draining && reserveConnection(this.target.cluster, this.target.host))
      this.connect();
  }

  visitIdle(visit: (connection: IdleConnection) => void): void {
    for (const client of this.clients) visit(client);
  }

  sweep(): LeaseReport {
    return this.leases.sweep(this.clients.flatMap(({ leases }) => [...leases]));
  }

  drain(): void {
    this.draining = true;
    for (const client of [...this.clients]) if (client.connected) client.leave();
  }

  /** Takes a connection that stands, and the requests it was opened for. */
  adopt(connection: Connection, tls: UpstreamIdentities | undefined, waiters: readonly PoolWaiter[]): void {
    const client = new Http2Client(this, this.tools, connection, this.target.cluster.http);
    client.tls = tls;
    this.clients.push(client);
    for (const waiter of waiters) this.waiting.push(waiter);
    this.begin(client);
  }

  onRoom(client: Http2Client): void {
    while (this.waiting.size > 0 && client.room > 0) {
      const waiter = this.waiting.shift();
      if (waiter === undefined) break;
      leavePending(this.target.cluster, this.target.host);
      this.give(client, waiter);
    }
    this.restIfIdle(client);
  }

  onLeaving(_client: Http2Client): void {
    if (this.waiting.size > 0) this.connectIfNeeded();
  }

  onClosed(client: Http2Client, error: NodeJS.ErrnoException | undefined): void {
    const at = this.clients.indexOf(client);
    if (at < 0) return;
    this.clients.splice(at, 1);
    const { cluster, host } = this.target;
    connectionClosed(cluster, host);
    if (client.connected) {
      connectionLasted(this.tools, cluster, client.connection);
      if (this.waiting.size > 0) this.connectIfNeeded();
      return;
    }
    this.connecting--;
    const timedOut = error?.code === connectTimedOut;
    connectionFailed(cluster, timedOut);
    const how = timedOut ? "connect-timeout" : "connect-failure";
    cluster.report(host, { kind: "localOrigin", cause: how }, this.tools.wheel.nowMs());
    this.failWaiting(how, timedOut ? "" : failureText(error));
  }

  onClientTimer(client: Http2Client): void {
    if (!client.connected) {
      client.connection.destroy(Object.assign(new Error("connect timeout"), { code: connectTimedOut }));
    } else if (client.codec.dead) client.connection.destroy();
    else if (client.openStreams === 0) {
      this.target.cluster.counters.upstreamCxIdleTimeout++;
      client.leave();
    }
  }

  onBytes(received: number, sent: number): void {
    const { counters } = this.target.cluster;
    counters.upstreamCxRxBytesTotal += received;
    counters.upstreamCxTxBytesTotal += sent;
  }

  private withRoom(): Http2Client | undefined {
    for (let i = 0; i < this.clients.length; i++) {
      const client = this.clients[i] as Http2Client;
      if (client.room > 0) return client;
    }
    return undefined;
  }

  private give(client: Http2Client, waiter: PoolWaiter): void {
    const { maxRequestsPerConnection } = this.target.cluster.http;
    client.timer.disarm();
    client.restsSinceMs = -1;
    waiter.onStream(client.stream(waiter));
    if (maxRequestsPerConnection > 0 && client.requests >= maxRequestsPerConnection) {
      this.target.cluster.counters.upstreamCxMaxRequests++;
      client.leave();
    }
  }

  /** Another connection ahead of need, once the streams in use times the ratio are more than the present ones carry. */
  private preconnect(): void {
    const { cluster, host } = this.target;
    if (this.connecting > 0 || this.draining) return;
    let room = 0;
    let busy = 0;
    for (const client of this.clients) {
      room += client.room;
      busy += client.openStreams;
    }
    if (busy * cluster.preconnect.perUpstreamRatio > room + busy && reserveConnection(cluster, host)) this.connect();
  }

  private restIfIdle(client: Http2Client): void {
    if (client.openStreams > 0 || client.leaving) return;
    const { idleTimeoutMs } = this.target.cluster.http;
    const now = this.tools.wheel.nowMs();
    client.restsSinceMs = now;
    if (this.draining) client.leave();
    else if (idleTimeoutMs > 0) this.tools.wheel.armAt(client.timer, now + idleTimeoutMs);
  }

  /** One connection at a time: what it will carry is known only once the server has spoken. */
  private connectIfNeeded(): void {
    const { cluster, host } = this.target;
    if (this.connecting > 0 || this.waiting.size === 0) return;
    if (!reserveConnection(cluster, host)) {
      cluster.counters.upstreamCxOverflow++;
      if (this.clients.length > 0) return;
      forceConnection(cluster);
    }
    this.connect();
  }

  private connect(): void {
    const { cluster, host } = this.target;
    let client: Http2Client | undefined;
    const connection = openUpstream(this.tools, this.target, (tls, alpn) => {
      if (client === undefined) return;
      client.tls = tls;
      this.onConnected(client, alpn);
    });
    if (typeof connection === "string") {
      connectionNotMade(cluster);
      connectionFailed(cluster, false);
      this.failWaiting("connect-failure", `TLS_error:${connection}`);
      return;
    }
    client = new Http2Client(this, this.tools, connection, cluster.http);
    this.clients.push(client);
    this.connecting++;
    connectionOpened(cluster, host);
    this.tools.wheel.arm(client.timer, cluster.connectTimeoutMs);
  }

  private onConnected(client: Http2Client, alpn: string): void {
    this.connecting--;
    client.timer.disarm();
    const { cluster, host } = this.target;
    cluster.report(host, { kind: "connected" }, this.tools.wheel.nowMs());
    if (this.handOver !== undefined && !isHttp2Alpn(alpn)) {
      this.clients.splice(this.clients.indexOf(client), 1);
      this.handOver(client.connection, client.tls, this.waiting.takeAll());
      return;
    }
    this.begin(client);
  }

  private begin(client: Http2Client): void {
    const { http, counters } = this.target.cluster;
    const { maxConnectionDurationMs = 0 } = http;
    counters.upstreamCxHttp2Total++;
    client.begin();
    if (maxConnectionDurationMs > 0) this.tools.wheel.arm(client.lifeTimer, maxConnectionDurationMs);
    this.onRoom(client);
    if (this.draining) client.leave();
    this.connectIfNeeded();
  }

  private failWaiting(how: "connect-failure" | "connect-timeout", detail: string): void {
    for (const waiter of this.waiting.takeAll()) {
      leavePending(this.target.cluster, this.target.host);
      waiter.onNoStream(how, detail);
    }
  }
}

const connectTimedOut = "EWEFTCONNECTTIMEOUT";

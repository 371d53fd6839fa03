import type { Connection } from "@weft/net/tcp/connection";
import type { ClusterCounters } from "../clusters/cluster.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import { type HandOver, isHttp2Alpn } from "./hand-over.ts";
import { Http1Client } from "./http1-client.ts";
import { type LeaseReport, LeaseWatch } from "./leases.ts";
import { idlePerHostMax, preconnectMost } from "./limits.ts";
import { connectionLasted, failureText, openUpstream, type UpstreamTarget } from "./open-upstream.ts";
import { PeerPatience } from "./peer-patience.ts";
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
  mayConnect,
  reserveConnection,
} from "./upstream-slots.ts";

/**
 * HTTP/1.1 connections to one host: the one used last is used next, so that a quiet time lets the others go. Requests
 * wait in order when the cluster's connections are used up.
 */
export class Http1Pool implements StreamPool {
  private readonly tools: PoolTools;
  private target: UpstreamTarget;
  private readonly idle: Http1Client[] = [];
  private readonly waiting = new WaiterQueue();
  private readonly all = new Set<Http1Client>();
  private connecting = 0;
  private draining = false;
  private readonly handOver: HandOver | undefined;
  private readonly patience = new PeerPatience();
  private readonly leases = new LeaseWatch();

  /** With `handOver` ALPN decides: connections that turn out to speak HTTP/2 go there. */
  constructor(tools: PoolTools, target: UpstreamTarget, handOver?: HandOver) {
    this.tools = tools;
    this.target = target;
    this.handOver = handOver;
  }

  get counters(): ClusterCounters {
    return this.target.cluster.counters;
  }
  get connections(): number {
    return this.all.size;
  }

  retarget(target: UpstreamTarget): void {
    this.target = target;
  }

  acquire(waiter: PoolWaiter): void {
    const client = this.idle.pop();
    if (client !== undefined) {
      client.timer.disarm();
      client.attach(waiter);
      waiter.onStream(client);
      if (this.target.cluster.preconnect.perUpstreamRatio > 1) this.connectIfNeeded();
      return;
    }
    const { cluster } = this.target;
    if (!enterPending(cluster, this.target.host)) {
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
    if (this.idle.length > 0 || this.connecting > 0 || this.draining) return;
    if (reserveConnection(this.target.cluster, this.target.host)) this.connect();
  }

  visitIdle(visit: (connection: IdleConnection) => void): void {
    for (const client of this.idle) visit(client);
  }

  sweep(): LeaseReport {
    return this.leases.sweep([...this.all].filter(({ lent }) => lent));
  }

  drain(): void {
    this.draining = true;
    for (const client of this.all) client.leaving = true;
    for (const client of this.idle.splice(0)) client.connection.destroy();
  }

  /** Takes a connection that stands, and the requests it was opened for. */
  adopt(connection: Connection, tls: UpstreamIdentities | undefined, waiters: readonly PoolWaiter[]): void {
    const client = new Http1Client(this, connection);
    client.tls = tls;
    this.all.add(client);
    for (const waiter of waiters) this.waiting.push(waiter);
    this.begin(client);
    this.connectIfNeeded();
  }

  /** A request is over and its connection can take another. */
  release(client: Http1Client): void {
    const { http, counters } = this.target.cluster;
    counters.upstreamCxTxBytesTotal += client.takeSent();
    const worn = http.maxRequestsPerConnection > 0 && client.requests >= http.maxRequestsPerConnection;
    if (worn) counters.upstreamCxMaxRequests++;
    if (client.leaving || this.draining || worn) {
      client.leaving = true;
      client.connection.destroy();
      return;
    }
    const next = this.waiting.shift();
    if (next !== undefined) {
      this.give(client, next);
      return;
    }
    if (this.idle.length >= idlePerHostMax) {
      client.leaving = true;
      client.connection.destroy();
      return;
    }
    this.rest(client, http.idleTimeoutMs);
  }

  /** Idle until the cluster's limit, or until just before its server would close it. */
  private rest(client: Http1Client, idleTimeoutMs: number): void {
    const { wheel } = this.tools;
    const now = wheel.nowMs();
    if (client.idleSeconds >= 0) this.patience.told(client.idleSeconds);
    const restMs = this.patience.restMs(now);
    client.idleSinceMs = now;
    this.idle.push(client);
    const idleMs = idleTimeoutMs > 0 ? Math.min(idleTimeoutMs, restMs) : restMs;
    if (idleMs !== Number.POSITIVE_INFINITY) wheel.armAt(client.timer, now + idleMs);
  }

  /** The server ended a connection that carried nothing. */
  peerLeft(client: Http1Client): void {
    if (client.connected && !client.leaving && this.idle.includes(client)) {
      const now = this.tools.wheel.nowMs();
      this.patience.closedIdle(now - client.idleSinceMs, now);
    }
    client.leaving = true;
    client.connection.destroy();
  }

  /** The connection is not to be given any more. */
  gone(client: Http1Client): void {
    const at = this.idle.indexOf(client);
    if (at >= 0) this.idle.splice(at, 1);
  }

  closed(client: Http1Client, error: NodeJS.ErrnoException | undefined): void {
    this.gone(client);
    if (!this.all.delete(client)) return;
    const { cluster, host } = this.target;
    connectionClosed(cluster, host);
    cluster.counters.upstreamCxTxBytesTotal += client.takeSent();
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

  /** Either the connect timeout or the idle timeout, by the state it fires in. */
  onClientTimer(client: Http1Client): void {
    if (client.connected) {
      const { counters, http } = this.target.cluster;
      const idleMs = this.tools.wheel.nowMs() - client.idleSinceMs;
      if (http.idleTimeoutMs > 0 && idleMs >= http.idleTimeoutMs) counters.upstreamCxIdleTimeout++;
      else counters.upstreamCxPeerIdleRetired++;
      client.leaving = true;
      client.connection.destroy();
      return;
    }
    client.connection.destroy(Object.assign(new Error("connect timeout"), { code: connectTimedOut }));
  }

  /** The connection has lived as long as it may: it goes after the request it carries. */
  onClientOld(client: Http1Client): void {
    client.leaving = true;
    this.target.cluster.counters.upstreamCxMaxDurationReached++;
    if (this.idle.includes(client)) client.connection.destroy();
  }

  private connectIfNeeded(): void {
    const { cluster, host } = this.target;
    for (let opened = 0; this.wants(opened); opened++) {
      if (!reserveConnection(cluster, host)) {
        cluster.counters.upstreamCxOverflow++;
        // A host without any connection gets one all the same, or its requests would wait for nothing.
        if (this.all.size > 0) return;
        forceConnection(cluster);
      }
      if (!this.connect()) return;
    }
  }

  /** As many as wait, and ahead of them what the ratio says of those in use. */
  private wants(opened: number): boolean {
    if (this.connecting < this.waiting.size) return true;
    const ratio = this.target.cluster.preconnect.perUpstreamRatio;
    if (ratio <= 1 || opened >= preconnectMost || this.draining) return false;
    const spare = this.connecting + this.idle.length;
    const busy = this.all.size - spare;
    const { cluster, host } = this.target;
    return (this.waiting.size + busy) * ratio > spare + busy && mayConnect(cluster, host);
  }

  private connect(): boolean {
    const { cluster, host } = this.target;
    let client: Http1Client | undefined;
    const connection = openUpstream(this.tools, this.target, (tls, alpn) => {
      if (client === undefined) return;
      client.tls = tls;
      this.onConnected(client, alpn);
    });
    if (typeof connection === "string") {
      connectionNotMade(cluster);
      connectionFailed(cluster, false);
      this.failWaiting("connect-failure", `TLS_error:${connection}`);
      return false;
    }
    client = new Http1Client(this, connection);
    this.all.add(client);
    this.connecting++;
    connectionOpened(cluster, host);
    this.tools.wheel.arm(client.timer, cluster.connectTimeoutMs);
    return true;
  }

  private onConnected(client: Http1Client, alpn: string): void {
    client.timer.disarm();
    this.connecting--;
    const { cluster, host } = this.target;
    cluster.report(host, { kind: "connected" }, this.tools.wheel.nowMs());
    if (this.handOver !== undefined && isHttp2Alpn(alpn)) {
      this.all.delete(client);
      this.handOver(client.connection, client.tls, this.waiting.takeAll());
      return;
    }
    this.begin(client);
  }

  private begin(client: Http1Client): void {
    const { http, counters } = this.target.cluster;
    const { maxConnectionDurationMs = 0 } = http;
    counters.upstreamCxHttp1Total++;
    client.connected = true;
    if (maxConnectionDurationMs > 0) this.tools.wheel.arm(client.lifeTimer, maxConnectionDurationMs);
    // Also when draining: who waits was promised a connection.
    client.leaving = this.draining;
    const next = this.waiting.shift();
    if (next !== undefined) this.give(client, next);
    else this.release(client);
  }

  private give(client: Http1Client, waiter: PoolWaiter): void {
    leavePending(this.target.cluster, this.target.host);
    client.timer.disarm();
    client.attach(waiter);
    waiter.onStream(client);
  }

  /** A connection that cannot be made fails every request that waits for this host, as Envoy does. */
  private failWaiting(how: "connect-failure" | "connect-timeout", detail: string): void {
    for (const waiter of this.waiting.takeAll()) {
      leavePending(this.target.cluster, this.target.host);
      waiter.onNoStream(how, detail);
    }
  }
}

const connectTimedOut = "EWEFTCONNECTTIMEOUT";

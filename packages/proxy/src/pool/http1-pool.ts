import type { Connection } from "@weft/net/tcp/connection";
import type { ClusterCounters } from "../clusters/cluster.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import { type HandOver, isHttp2Alpn } from "./hand-over.ts";
import { Http1Client } from "./http1-client.ts";
import { idlePerHostMax } from "./limits.ts";
import { failureText, openUpstream, type UpstreamTarget } from "./open-upstream.ts";
import type { PoolTools } from "./pool-tools.ts";
import { type PoolWaiter, type StreamPool, WaiterQueue } from "./pool-waiter.ts";
import {
  connectionClosed,
  connectionFailed,
  connectionOpened,
  enterPending,
  leavePending,
  mayConnect,
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
      return;
    }
    const { cluster } = this.target;
    if (!enterPending(cluster)) {
      waiter.onNoStream("overflow", "");
      return;
    }
    this.waiting.push(waiter);
    this.connectIfNeeded();
  }

  withdraw(waiter: PoolWaiter): void {
    if (this.waiting.remove(waiter)) leavePending(this.target.cluster);
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
    const { http } = this.target.cluster;
    if (
      client.leaving ||
      this.draining ||
      (http.maxRequestsPerConnection > 0 && client.requests >= http.maxRequestsPerConnection)
    ) {
      client.connection.destroy();
      return;
    }
    const next = this.waiting.shift();
    if (next !== undefined) {
      this.give(client, next);
      return;
    }
    if (this.idle.length >= idlePerHostMax) {
      client.connection.destroy();
      return;
    }
    this.idle.push(client);
    if (http.idleTimeoutMs > 0) this.tools.wheel.arm(client.timer, http.idleTimeoutMs);
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
    if (client.connected) {
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
      client.connection.destroy();
      return;
    }
    client.connection.destroy(Object.assign(new Error("connect timeout"), { code: connectTimedOut }));
  }

  /** The connection has lived as long as it may: it goes after the request it carries. */
  onClientOld(client: Http1Client): void {
    client.leaving = true;
    if (this.idle.includes(client)) client.connection.destroy();
  }

  private connectIfNeeded(): void {
    const { cluster } = this.target;
    while (this.connecting < this.waiting.size) {
      if (!mayConnect(cluster)) {
        cluster.counters.upstreamCxOverflow++;
        // A host without any connection gets one all the same, or its requests would wait for nothing.
        if (this.all.size > 0) return;
      }
      if (!this.connect()) return;
    }
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
    const { maxConnectionDurationMs = 0 } = this.target.cluster.http;
    client.connected = true;
    if (maxConnectionDurationMs > 0) this.tools.wheel.arm(client.lifeTimer, maxConnectionDurationMs);
    // Also when draining: who waits was promised a connection.
    client.leaving = this.draining;
    const next = this.waiting.shift();
    if (next !== undefined) this.give(client, next);
    else this.release(client);
  }

  private give(client: Http1Client, waiter: PoolWaiter): void {
    leavePending(this.target.cluster);
    client.timer.disarm();
    client.attach(waiter);
    waiter.onStream(client);
  }

  /** A connection that cannot be made fails every request that waits for this host, as Envoy does. */
  private failWaiting(how: "connect-failure" | "connect-timeout", detail: string): void {
    for (const waiter of this.waiting.takeAll()) {
      leavePending(this.target.cluster);
      waiter.onNoStream(how, detail);
    }
  }
}

const connectTimedOut = "EWEFTCONNECTTIMEOUT";

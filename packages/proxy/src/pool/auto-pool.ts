import type { IdleConnection } from "../overload/idle-closer.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";
import type { LeaseReport } from "./leases.ts";
import type { UpstreamTarget } from "./open-upstream.ts";
import type { PoolTools } from "./pool-tools.ts";
import type { PoolWaiter, StreamPool } from "./pool-waiter.ts";

/**
 * Connections whose version ALPN decides, each its own: a host may change its mind. New ones are opened by the pool of
 * the version met last; at first that is HTTP/2, which opens one and waits for what it says.
 */
export class AutoPool implements StreamPool {
  private readonly http1: Http1Pool;
  private readonly http2: Http2Pool;
  private current: StreamPool;

  constructor(tools: PoolTools, target: UpstreamTarget) {
    this.http1 = new Http1Pool(tools, target, (...given) => {
      this.current = this.http2;
      this.http2.adopt(...given);
    });
    this.http2 = new Http2Pool(tools, target, (...given) => {
      this.current = this.http1;
      this.http1.adopt(...given);
    });
    this.current = this.http2;
  }
  get connections(): number {
    return this.http1.connections + this.http2.connections;
  }
  acquire(waiter: PoolWaiter): void {
    this.current.acquire(waiter);
  }
  withdraw(waiter: PoolWaiter): void {
    this.http1.withdraw(waiter);
    this.http2.withdraw(waiter);
  }
  prepare(): void {
    this.current.prepare();
  }
  visitIdle(visit: (connection: IdleConnection) => void): void {
    this.http1.visitIdle(visit);
    this.http2.visitIdle(visit);
  }
  sweep(): LeaseReport {
    const [first, second] = [this.http1.sweep(), this.http2.sweep()];
    return { lost: first.lost + second.lost, quiet: first.quiet + second.quiet };
  }
  retarget(target: UpstreamTarget): void {
    this.http1.retarget(target);
    this.http2.retarget(target);
  }
  drain(): void {
    this.http1.drain();
    this.http2.drain();
  }
}

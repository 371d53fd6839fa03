import type { ClientStream, ClientStreamSink, UpstreamBreak } from "../http/streams.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import type { LeaseReport } from "./leases.ts";
import type { UpstreamTarget } from "./open-upstream.ts";

/** Who asked a pool for a stream. It is told exactly once, maybe before `acquire` returns, unless it withdraws. */
export interface PoolWaiter extends ClientStreamSink {
  /** The stream is the waiter's and tells it everything from here on. */
  onStream(stream: ClientStream): void;
  onNoStream(how: UpstreamBreak, detail: string): void;
}

/** Streams to one host over one transport. */
export interface StreamPool {
  acquire(waiter: PoolWaiter): void;
  /** The waiter no longer wants a stream. */
  withdraw(waiter: PoolWaiter): void;
  /** Opens a connection ahead of need where none is free and none on its way. */
  prepare(): void;
  visitIdle(visit: (connection: IdleConnection) => void): void;
  /** Looks for streams that will never be given back. */
  sweep(): LeaseReport;
  /** The cluster was compiled anew with the same transport: its limits hold from now on. */
  retarget(target: UpstreamTarget): void;
  /** Gives up idle connections; busy ones go when they are done. */
  drain(): void;
  readonly connections: number;
}

/** Waiters in order of arrival, with withdrawal from anywhere. Bounded by the cluster's pending limit. */
export class WaiterQueue {
  private list: (PoolWaiter | undefined)[] = [];
  private head = 0;
  size = 0;

  push(waiter: PoolWaiter): void {
    this.list.push(waiter);
    this.size++;
  }
  shift(): PoolWaiter | undefined {
    while (this.head < this.list.length) {
      const waiter = this.list[this.head];
      this.list[this.head++] = undefined;
      if (this.head > 64 && this.head * 2 > this.list.length) {
        this.list = this.list.slice(this.head);
        this.head = 0;
      }
      if (waiter !== undefined) {
        this.size--;
        return waiter;
      }
    }
    this.list.length = 0;
    this.head = 0;
    return undefined;
  }
  takeAll(): readonly PoolWaiter[] {
    const all = this.list.filter((waiter) => waiter !== undefined);
    this.list.length = 0;
    this.head = 0;
    this.size = 0;
    return all;
  }
  remove(waiter: PoolWaiter): boolean {
    const at = this.list.indexOf(waiter, this.head);
    if (at < 0) return false;
    this.list[at] = undefined;
    this.size--;
    return true;
  }
}

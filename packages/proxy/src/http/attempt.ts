import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import { breakers } from "../clusters/circuit-load.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { PoolWaiter, StreamPool } from "../pool/pool-waiter.ts";
import type { TimerWheel } from "../timers/timer-wheel.ts";
import type { ClientStream, RequestBody, UpstreamBreak, UpstreamIdentities } from "./streams.ts";

/** Who runs attempts: the router of an exchange, or a mirror. */
export interface AttemptOwner {
  /** The head went out; the body may follow. */
  onAttemptReady(from: Attempt): void;
  onAttemptInterim(head: ResponseHead): void;
  onAttemptHead(head: ResponseHead, end: boolean, from: Attempt): void;
  onAttemptData(bytes: Buffer): void;
  onAttemptTrailers(trailers: HeaderList): void;
  onAttemptEnd(): void;
  onAttemptWritable(): void;
  onAttemptBroken(how: UpstreamBreak, detail: string, from: Attempt): void;
}

const idle = 0;
const waiting = 1;
const streaming = 2;

/** One try of a request at one host: a stream of its pool, and the counts that go with it. Used over and over. */
export class Attempt implements PoolWaiter {
  stream: ClientStream | undefined = undefined;
  host: Host | undefined = undefined;
  /** The request's head is on its way to the host. */
  headSent = false;
  /** When that was, and over which connection; they stay when the try has ended. */
  sentMs = 0;
  localAddress: string | undefined = undefined;
  tls: UpstreamIdentities | undefined = undefined;
  private state = idle;
  private cluster: Cluster | undefined = undefined;
  private pool: StreamPool | undefined = undefined;
  private request: RequestHead | undefined = undefined;
  private body: RequestBody = "none";
  private readonly owner: AttemptOwner;
  private readonly wheel: TimerWheel;
  /** Told to the cluster and read at once, so one object serves all. */
  private readonly outcome = { kind: "response" as const, status: 0 };

  constructor(owner: AttemptOwner, wheel: TimerWheel) {
    this.owner = owner;
    this.wheel = wheel;
  }

  get active(): boolean {
    return this.state !== idle;
  }

  /** The owner took the request of the cluster's load, and is called back, maybe before this returns. */
  start(cluster: Cluster, host: Host, pool: StreamPool, request: RequestHead, body: RequestBody): void {
    this.state = waiting;
    this.cluster = cluster;
    this.host = host;
    this.pool = pool;
    this.request = request;
    this.body = body;
    this.headSent = false;
    this.localAddress = undefined;
    this.tls = undefined;
    cluster.counters.upstreamRqActive++;
    host.counts.enter();
    pool.acquire(this);
  }

  /** Ends the try without a word to the owner. */
  cancel(): void {
    if (this.state === idle) return;
    const { state, stream, pool, cluster } = this;
    this.end();
    if (cluster !== undefined) {
      if (state === waiting) cluster.counters.upstreamRqCancelled++;
      else if (stream?.protocol !== "HTTP/1.1") cluster.counters.upstreamRqTxReset++;
    }
    if (state === waiting) pool?.withdraw(this);
    else stream?.cancel();
  }

  /** The owner gave it up for its slowness: outlier detection hears of it. */
  timedOut(): void {
    const { cluster, host } = this;
    if (cluster === undefined || host === undefined) return;
    cluster.report(host, { kind: "localOrigin", cause: "timeout" }, this.wheel.nowMs());
  }

  holds(stream: ClientStream): boolean {
    return this.stream === stream;
  }
  onStream(stream: ClientStream): void {
    this.stream = stream;
    this.state = streaming;
    if (this.cluster !== undefined) this.cluster.counters.upstreamRqTotal++;
    if (this.host !== undefined) this.host.stats.rqTotal++;
    if (this.request === undefined || !stream.writeHead(this.request, this.body)) {
      this.end();
      stream.cancel();
      this.owner.onAttemptBroken("protocol-error", "request head cannot be sent", this);
      return;
    }
    this.headSent = true;
    this.sentMs = this.wheel.nowMs();
    this.localAddress = stream.localAddress;
    this.tls = stream.tls;
    this.owner.onAttemptReady(this);
  }
  onNoStream(how: UpstreamBreak, detail: string): void {
    this.end();
    this.owner.onAttemptBroken(how, detail, this);
  }

  onInterim(head: ResponseHead): void {
    this.owner.onAttemptInterim(head);
  }
  onHead(head: ResponseHead, end: boolean): void {
    this.count(head.status);
    if (end) this.end();
    this.owner.onAttemptHead(head, end, this);
  }
  onData(bytes: Buffer): void {
    this.owner.onAttemptData(bytes);
  }
  onTrailers(trailers: HeaderList): void {
    this.end();
    this.owner.onAttemptTrailers(trailers);
  }
  onEnd(): void {
    this.end();
    this.owner.onAttemptEnd();
  }
  onWritable(): void {
    if (this.state === streaming) this.owner.onAttemptWritable();
  }
  onBroken(how: UpstreamBreak, detail: string): void {
    const { cluster, host } = this;
    if (cluster !== undefined && host !== undefined) {
      cluster.counters.upstreamRqRxReset++;
      cluster.report(host, { kind: "localOrigin", cause: "reset" }, this.wheel.nowMs());
    }
    this.end();
    this.owner.onAttemptBroken(how, detail, this);
  }

  private count(status: number): void {
    const { cluster, host, outcome } = this;
    if (cluster === undefined || host === undefined) return;
    outcome.status = status;
    cluster.report(host, outcome, this.wheel.nowMs());
  }

  private end(): void {
    const { cluster, host } = this;
    this.state = idle;
    this.stream = undefined;
    this.cluster = undefined;
    this.pool = undefined;
    this.request = undefined;
    if (cluster === undefined || host === undefined) return;
    cluster.load.give(breakers.requests);
    cluster.counters.upstreamRqActive--;
    host.counts.leave();
  }
}

import type { Cluster, UpstreamTransport } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { AutoPool } from "./auto-pool.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";
import { leaseSweepMs } from "./limits.ts";
import { NamedPools } from "./named-pools.ts";
import type { UpstreamTarget } from "./open-upstream.ts";
import type { PoolTools } from "./pool-tools.ts";
import type { StreamPool } from "./pool-waiter.ts";
import { TiedPools } from "./tied-pools.ts";
import { TunnelPool } from "./tunnel-pool.ts";

/** `auto`: whichever ALPN agrees on. */
export type UpstreamProtocol = "http1" | "http2" | "auto";

/** What requests for a name ask for. */
interface Named {
  readonly host: Host;
  readonly protocol: UpstreamProtocol;
  readonly alpn: readonly string[] | undefined;
  readonly downstream?: DownstreamInfo;
}

const plaintextKey = "plaintext";
const noAlpn: readonly string[] = [];

/** All pools of one host, one for each way to reach it. Kept in `host.pool`, so they go when the host goes. */
export class HostPools implements Disposable {
  private readonly tools: PoolTools;
  private readonly pools = new Map<string, StreamPool>();
  private readonly tied = new TiedPools();
  private readonly named = new NamedPools();
  private readonly transportKeys = new WeakMap<UpstreamTransport, string>();
  /** What was asked last, and its answer: nearly every request asks the same. */
  private lastCluster: Cluster | undefined;
  private lastProtocol: UpstreamProtocol = "http1";
  private lastAlpn: readonly string[] | undefined;
  private lastTransport: UpstreamTransport | undefined;
  private last: StreamPool | undefined;
  private highPools: HostPools | undefined;

  private readonly sweepTimer: WheelTimer;

  constructor(tools: PoolTools) {
    this.tools = tools;
    this.sweepTimer = new WheelTimer({ onTimer: () => this.sweep() }, 0);
    tools.wheel.arm(this.sweepTimer, leaseSweepMs);
    tools.hosts.add(this);
  }

  /** For requests of priority HIGH, which have connections of their own. */
  get high(): HostPools {
    this.highPools ??= new HostPools(this.tools);
    return this.highPools;
  }

  get connections(): number {
    let sum = (this.highPools?.connections ?? 0) + this.tied.connections + this.named.connections;
    for (const pool of this.pools.values()) sum += pool.connections;
    return sum;
  }

  /** With `downstream` a connection may be opened in its name alone, where the host is told or shown whose it is. */
  poolFor(
    cluster: Cluster,
    host: Host,
    protocol: UpstreamProtocol,
    alpn: readonly string[] | undefined,
    downstream?: DownstreamInfo,
  ): StreamPool {
    const transport = cluster.transportOf(host);
    if (downstream?.ties !== undefined && isOfOne(transport, downstream)) {
      const offered = offeredBy(transport, alpn, protocol);
      const key = `${protocol} ${offered.join(",")} ${this.keyOf(transport)}`;
      const target = { cluster, host, transport, alpn: offered, downstream };
      return this.tied.poolFor(key, downstream.ties, target, () => this.make(protocol, target));
    }
    if (
      this.last !== undefined &&
      this.lastCluster === cluster &&
      this.lastTransport === transport &&
      this.lastProtocol === protocol &&
      this.lastAlpn === alpn
    ) {
      return this.last;
    }
    const offered = offeredBy(transport, alpn, protocol);
    const key = `${protocol} ${offered.join(",")} ${this.keyOf(transport)}`;
    const target = { cluster, host, transport, alpn: offered };
    let pool = this.pools.get(key);
    if (pool === undefined) {
      pool = this.make(protocol, target);
      this.pools.set(key, pool);
    } else if (this.lastCluster !== cluster) {
      pool.retarget(target);
      this.drainOthers(cluster, host);
    }
    this.last = pool;
    this.lastCluster = cluster;
    this.lastTransport = transport;
    this.lastProtocol = protocol;
    this.lastAlpn = alpn;
    return pool;
  }

  /** For requests whose name the server is asked for and has to prove, where its transport is TLS. */
  poolNamed(serverName: string, cluster: Cluster, { host, protocol, alpn, downstream }: Named): StreamPool {
    const transport = cluster.transportOf(host);
    if (transport.kind === "plaintext") return this.poolFor(cluster, host, protocol, alpn, downstream);
    const offered = offeredBy(transport, alpn, protocol);
    const key = `${serverName} ${protocol} ${offered.join(",")} ${this.keyOf(transport)}`;
    if (downstream?.ties !== undefined && isOfOne(transport, downstream)) {
      const target = { cluster, host, transport, alpn: offered, serverName, downstream };
      return this.tied.poolFor(key, downstream.ties, target, () => this.make(protocol, target));
    }
    const target = { cluster, host, transport, alpn: offered, serverName };
    return this.named.poolFor(key, target, () => this.make(protocol, target));
  }

  private make(protocol: UpstreamProtocol, target: UpstreamTarget): StreamPool {
    if (protocol === "http2") return new Http2Pool(this.tools, target);
    // Without TLS there is no ALPN that could decide.
    const decided = protocol === "http1" || target.transport.kind === "plaintext";
    return decided ? new Http1Pool(this.tools, target) : new AutoPool(this.tools, target);
  }

  /** Bare connections, one for each CONNECT. With `serverName` the server is asked for it, where its transport is TLS. */
  tunnelTo(cluster: Cluster, host: Host, downstream?: DownstreamInfo, serverName = ""): StreamPool {
    const transport = cluster.transportOf(host);
    const name = transport.kind === "tls" ? serverName : "";
    const key = `${name} tunnel ${this.keyOf(transport)}`;
    const alpn = transport.kind === "tls" ? transport.alpn : noAlpn;
    const target = { cluster, host, transport, alpn, downstream, serverName: name };
    if (downstream?.ties !== undefined && isOfOne(transport, downstream)) {
      return this.tied.poolFor(key, downstream.ties, target, () => new TunnelPool(this.tools, target));
    }
    if (name !== "") {
      const forAll = { ...target, downstream: undefined };
      return this.named.poolFor(key, forAll, () => new TunnelPool(this.tools, forAll));
    }
    let pool = this.pools.get(key);
    if (pool === undefined) {
      pool = new TunnelPool(this.tools, target);
      this.pools.set(key, pool);
    } else pool.retarget(target);
    return pool;
  }

  visitIdle(visit: (connection: IdleConnection) => void): void {
    for (const pool of this.pools.values()) pool.visitIdle(visit);
    for (const pool of this.tied.all()) pool.visitIdle(visit);
    this.named.visitIdle(visit);
  }

  /** Idle connections close at once, busy ones after their request. */
  drain(): void {
    this.highPools?.drain();
    this.highPools = undefined;
    for (const pool of this.pools.values()) pool.drain();
    this.pools.clear();
    this.tied.drain();
    this.named.drain();
    this.last = undefined;
    this.sweepTimer.disarm();
    this.tools.hosts.delete(this);
  }

  [Symbol.dispose](): void {
    this.drain();
  }

  /** Streams that nobody will give back are taken back, counted, and said once. */
  private sweep(): void {
    const { wheel, log } = this.tools;
    wheel.arm(this.sweepTimer, leaseSweepMs);
    const cluster = this.lastCluster;
    if (cluster === undefined) return;
    let lost = 0;
    let quiet = 0;
    for (const pool of [...this.pools.values(), ...this.tied.all(), ...this.named.all()]) {
      const report = pool.sweep();
      lost += report.lost;
      quiet += report.quiet;
    }
    if (lost === 0 && quiet === 0) return;
    const { counters, name } = cluster;
    if (lost > 0 && counters.upstreamCxLeaseLost === 0)
      log?.error("connections were lent and never given back", { code: "WF5030", cluster: name, lost });
    if (quiet > 0 && counters.upstreamCxLeaseQuiet === 0)
      log?.warn("connections are lent for an hour without a byte", { code: "WF5031", cluster: name, quiet });
    counters.upstreamCxLeaseLost += lost;
    counters.upstreamCxLeaseQuiet += quiet;
  }

  /** After a change of the cluster: pools whose transport it no longer has are given up. */
  private drainOthers(cluster: Cluster, host: Host): void {
    const current = this.keyOf(cluster.transportOf(host));
    for (const [key, pool] of this.pools) {
      if (key.endsWith(` ${current}`)) continue;
      this.pools.delete(key);
      pool.drain();
    }
  }

  private keyOf(transport: UpstreamTransport): string {
    if (transport.kind === "plaintext" && transport.proxyProtocol === undefined) return plaintextKey;
    let key = this.transportKeys.get(transport);
    if (key === undefined) {
      key = JSON.stringify(transport);
      this.transportKeys.set(transport, key);
    }
    return key;
  }
}

/** Whether its connections to a host are made in the name of one downstream connection, and nobody else may use them. */
const isOfOne = (transport: UpstreamTransport, downstream: DownstreamInfo): boolean =>
  transport.proxyProtocol !== undefined || downstream.connectsFrom !== undefined;

const offeredBy = (
  transport: UpstreamTransport,
  alpn: readonly string[] | undefined,
  protocol: UpstreamProtocol,
): readonly string[] => (transport.kind === "plaintext" ? noAlpn : (alpn ?? defaultAlpn(transport.alpn, protocol)));

const defaultAlpn = (configured: readonly string[], protocol: UpstreamProtocol): readonly string[] => {
  if (configured.length > 0) return configured;
  if (protocol === "http1") return noAlpn;
  return protocol === "http2" ? ["h2"] : ["h2", "http/1.1"];
};

/**
 * Readies a connection to the host that the next request may well go to, while the cluster has too few in all; offering
 * `alpn`, for another offer would make it one that requests of this kind do not use.
 */
export const preconnectElsewhere = (
  tools: PoolTools,
  cluster: Cluster,
  protocol: UpstreamProtocol,
  alpn: readonly string[] | undefined,
): void => {
  const { load, preconnect, discovery } = cluster;
  // Connections of hosts that requests name, or for names that requests give, cannot be made ahead of them.
  if (discovery.kind === "originalDst" || discovery.kind === "dynamic" || cluster.http.names !== undefined) return;
  if ((load.requests + 1) * preconnect.predictiveRatio <= load.connections) return;
  const host = cluster.foresee();
  if (host !== undefined) poolsOf(host, tools).poolFor(cluster, host, protocol, alpn).prepare();
};

/** The pools of a host, made at first use. */
export const poolsOf = (host: Host, tools: PoolTools): HostPools => {
  if (host.pool instanceof HostPools) return host.pool;
  const pools = new HostPools(tools);
  host.pool = pools;
  return pools;
};

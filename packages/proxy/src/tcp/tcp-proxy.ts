import { formatAddress } from "@weft/core/address";
import type { Clock, Random } from "@weft/core/world";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { ServedConnection } from "../http/server-connection.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import { withFlag } from "../observe/response-flags.ts";
import type { TcpExchange } from "../observe/tcp-exchange.ts";
import { failureText, openUpstream } from "../pool/open-upstream.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import { connectionClosed, connectionFailed, connectionOpened, mayConnect } from "../pool/upstream-slots.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { TcpProxySettings } from "./compile-tcp-proxy.ts";

export interface TcpTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly pools: PoolTools;
  readonly cluster: (name: string) => Cluster | undefined;
  /** The host of an ORIGINAL_DST cluster for that address; `undefined` for clusters of other kinds. */
  readonly originalHost: (cluster: Cluster, address: string) => Host | undefined;
}

/** Bytes read from the client before there is an upstream to send them to; then it is paused. */
const earlyBytesMax = 256 * 1024;
const idleKind = 0;
const connectKind = 1;
const durationKind = 2;
const progressKind = 3;
/** How often a long connection's bytes are added to the metrics, as Istio does. */
const progressMs = 5_000;
const noHash = { hash: undefined };

/** One client connection and its upstream one, joined: bytes, ends and resets of each side go to the other. */
export class TcpProxy implements ConnectionHandler, ServedConnection, TcpExchange {
  cluster: Cluster | undefined = undefined;
  host: Host | undefined = undefined;
  readonly startMs: number;
  flags = "";
  details = "";
  attempts = 0;
  requestBodyBytes = 0;
  responseBodyBytes = 0;
  upstreamFailure = "";
  reportedRequestBytes = 0;
  reportedResponseBytes = 0;
  upstreamLocalAddress: string | undefined = undefined;
  upstreamTls: UpstreamIdentities | undefined = undefined;
  peer: unknown = undefined;
  readonly downstream: DownstreamInfo;
  private readonly settings: TcpProxySettings;
  private readonly client: Connection;
  private readonly onGone: () => void;
  private server: Connection | undefined = undefined;
  private serverReady = false;
  private early: Buffer[] = [];
  private earlyBytes = 0;
  private clientEnded = false;
  private serverEnded = false;
  private over = false;
  private toldOpened = false;
  private readonly idleTimer: WheelTimer;
  private readonly connectTimer: WheelTimer;
  private readonly durationTimer: WheelTimer;
  private readonly progressTimer: WheelTimer;

  constructor(settings: TcpProxySettings, client: Connection, downstream: DownstreamInfo, onGone: () => void) {
    this.settings = settings;
    this.client = client;
    this.downstream = downstream;
    this.onGone = onGone;
    const { wheel } = settings.tools;
    this.startMs = wheel.nowMs();
    this.idleTimer = new WheelTimer(this, idleKind);
    this.connectTimer = new WheelTimer(this, connectKind);
    this.durationTimer = new WheelTimer(this, durationKind);
    this.progressTimer = new WheelTimer(this, progressKind);
    client.handler = this;
    settings.counters.connections.add(1);
    settings.counters.active.add(1);
    if (settings.maxDurationMs > 0) wheel.arm(this.durationTimer, settings.maxDurationMs);
    this.touch();
    this.begin();
  }

  /** Nothing tells a TCP client to leave; it stays until its peer or the process ends it. */
  drain(): void {}
  close(): void {
    this.client.destroy();
  }

  onTimer(kind: number): void {
    if (kind === connectKind) {
      this.server?.destroy(Object.assign(new Error("connect timeout"), { code: connectTimedOut }));
      return;
    }
    if (kind === progressKind) {
      for (const observer of this.settings.observers) observer.tcpProgress(this);
      this.settings.tools.wheel.arm(this.progressTimer, progressMs);
      return;
    }
    this.details = kind === idleKind ? "idle_timeout" : "max_duration_timeout";
    this.client.destroy();
  }

  onRead(bytes: Buffer): void {
    this.requestBodyBytes += bytes.length;
    this.touch();
    const { server } = this;
    if (server === undefined || !this.serverReady) {
      this.early.push(Buffer.from(bytes));
      this.earlyBytes += bytes.length;
      if (this.earlyBytes >= earlyBytesMax) this.client.pause();
      return;
    }
    server.write(bytes);
    if (server.congested) this.client.pause();
  }
  onPeerEnd(): void {
    this.clientEnded = true;
    if (this.serverReady) this.server?.end();
  }
  onDrain(): void {
    this.server?.resume();
  }
  onClose(error: NodeJS.ErrnoException | undefined): void {
    const { server } = this;
    if (!this.serverEnded && !this.clientEnded) this.flag("DC");
    if (server?.open) {
      if (error?.code === "ECONNRESET") server.reset();
      else if (this.serverReady && this.clientEnded) server.end();
      else server.destroy();
    }
    this.finish();
  }

  private flag(flag: string): void {
    this.flags = withFlag(this.flags, flag);
  }

  private begin(): void {
    const { settings } = this;
    const { tools } = settings;
    const cluster = tools.cluster(settings.clusterName(tools.random()));
    if (cluster === undefined) {
      settings.counters.noRoute.add(1);
      this.giveUp("NC", "cluster_not_found");
      return;
    }
    this.cluster = cluster;
    this.connect(cluster);
  }

  private connect(cluster: Cluster): void {
    const { tools } = this.settings;
    const host = this.pick(cluster);
    if (host === undefined) {
      this.giveUp("UH", "no_healthy_upstream");
      return;
    }
    this.host = host;
    this.attempts++;
    if (!mayConnect(cluster)) {
      cluster.counters.upstreamCxOverflow++;
      this.giveUp("UO", "upstream_connection_overflow");
      return;
    }
    const transport = cluster.transportOf(host);
    const alpn = transport.kind === "tls" ? transport.alpn : [];
    const target = { cluster, host, transport, alpn };
    let made: Connection | undefined;
    const opened = openUpstream(tools.pools, target, (tls) => {
      this.upstreamTls = tls;
      if (made !== undefined) this.onConnected(cluster, host, made);
    });
    if (typeof opened === "string") {
      connectionFailed(cluster, false);
      this.onNotConnected(cluster, opened);
      return;
    }
    made = opened;
    this.server = opened;
    connectionOpened(cluster, host);
    host.activeRequests++;
    tools.wheel.arm(this.connectTimer, cluster.connectTimeoutMs);
    opened.handler = {
      onRead: (bytes) => this.onServerRead(bytes),
      onPeerEnd: () => this.onServerEnd(),
      onDrain: () => this.client.resume(),
      onClose: (error) => this.onServerClose(cluster, host, error),
    };
  }

  /** Told only now: who is at the other end of the upstream connection is part of what is counted. */
  private tellOpened(): void {
    const { observers, tools } = this.settings;
    if (this.toldOpened || observers.length === 0) return;
    this.toldOpened = true;
    for (const observer of observers) observer.tcpOpened(this);
    tools.wheel.arm(this.progressTimer, progressMs);
  }

  private pick(cluster: Cluster): Host | undefined {
    if (cluster.discovery.kind !== "originalDst") return cluster.pick(noHash);
    // A connection that was not redirected has nowhere to go but here, which would be a loop.
    const { originalDestination } = this.downstream;
    return originalDestination && this.settings.tools.originalHost(cluster, formatAddress(originalDestination));
  }

  private onConnected(cluster: Cluster, host: Host, server: Connection): void {
    this.serverReady = true;
    this.connectTimer.disarm();
    this.upstreamLocalAddress = `${server.localHost}:${server.localPort}`;
    cluster.report(host, { kind: "connected" }, this.settings.tools.wheel.nowMs());
    this.tellOpened();
    for (const chunk of this.early) server.write(chunk);
    const waited = this.earlyBytes >= earlyBytesMax;
    this.early = [];
    this.earlyBytes = 0;
    if (waited) this.client.resume();
    if (this.clientEnded) server.end();
  }

  private onServerRead(bytes: Buffer): void {
    this.responseBodyBytes += bytes.length;
    const { client } = this;
    this.touch();
    client.write(bytes);
    if (client.congested) this.server?.pause();
  }
  private onServerEnd(): void {
    this.serverEnded = true;
    this.client.end();
  }
  private onServerClose(cluster: Cluster, host: Host, error: NodeJS.ErrnoException | undefined): void {
    connectionClosed(cluster, host);
    host.activeRequests--;
    this.connectTimer.disarm();
    this.server = undefined;
    if (this.over) return;
    if (!this.serverReady) {
      const timedOut = error?.code === connectTimedOut;
      connectionFailed(cluster, timedOut);
      const cause = timedOut ? "connect-timeout" : "connect-failure";
      cluster.report(host, { kind: "localOrigin", cause }, this.settings.tools.wheel.nowMs());
      this.onNotConnected(cluster, timedOut ? "connection timeout" : failureText(error));
      return;
    }
    if (error?.code === "ECONNRESET") this.client.reset();
    else if (this.serverEnded) this.client.end();
    else this.client.destroy();
  }

  private onNotConnected(cluster: Cluster, reason: string): void {
    this.upstreamFailure = reason;
    if (this.attempts < this.settings.connectAttempts && this.client.open) {
      this.connect(cluster);
      return;
    }
    cluster.counters.upstreamCxConnectAttemptsExceeded++;
    this.giveUp("UF", "upstream_connection_failure");
  }

  private giveUp(flag: string, details: string): void {
    this.flag(flag);
    this.details = details;
    this.serverEnded = true;
    this.client.destroy();
  }

  private touch(): void {
    const { idleTimeoutMs, tools } = this.settings;
    if (idleTimeoutMs > 0) tools.wheel.arm(this.idleTimer, idleTimeoutMs);
  }

  private finish(): void {
    if (this.over) return;
    this.over = true;
    this.idleTimer.disarm();
    this.connectTimer.disarm();
    this.durationTimer.disarm();
    this.early = [];
    const { settings } = this;
    settings.counters.active.add(-1);
    if (this.cluster !== undefined) {
      this.tellOpened();
      for (const observer of settings.observers) observer.tcpClosed(this);
    }
    this.progressTimer.disarm();
    settings.log?.(this);
    this.onGone();
  }
}

const connectTimedOut = "EWEFTCONNECTTIMEOUT";

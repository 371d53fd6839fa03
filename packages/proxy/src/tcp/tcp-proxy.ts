import type { Clock, Random } from "@weft/core/world";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { NoHost, OnDynamicHost } from "../dns/dynamic-hosts.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { ServedConnection } from "../http/server-connection.ts";
import type { UpstreamIdentities } from "../http/streams.ts";
import { withFlag } from "../observe/response-flags.ts";
import type { TcpExchange } from "../observe/tcp-exchange.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import { reserveConnection } from "../pool/upstream-slots.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { TcpProxySettings } from "./compile-tcp-proxy.ts";
import { pickHost, serverNameOf, type TcpPick } from "./tcp-choice.ts";
import { TcpDial } from "./tcp-dial.ts";
import { TunnelDial } from "./tunnel-dial.ts";
import type { LinkOwner, UpstreamLink } from "./upstream-link.ts";

export interface TcpTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly pools: PoolTools;
  readonly cluster: (name: string) => Cluster | undefined;
  /** The host of an ORIGINAL_DST cluster for that address; `undefined` for clusters of other kinds. */
  readonly originalHost: (cluster: Cluster, address: string) => Host | undefined;
  /** The host of a cluster of such hosts for that name, or why there is none; `undefined`: `onFound` will be told. */
  readonly dynamicHost: (cluster: Cluster, name: string, onFound: OnDynamicHost) => Host | NoHost | undefined;
}

/** Bytes read from the client before there is an upstream to send them to; then it is paused. */
const earlyBytesMax = 256 * 1024;
const idleKind = 0;
const durationKind = 2;
const progressKind = 3;
const logKind = 4;
const noPick: TcpPick = { hash: undefined, metadataMatch: undefined };
/** How often a long connection's bytes are added to the metrics, as Istio does. */
const progressMs = 5_000;

/** One client connection and its upstream one, joined: bytes, ends and resets of each side go to the other. */
export class TcpProxy implements ConnectionHandler, LinkOwner, ServedConnection, TcpExchange {
  /** Nobody can tell whether bytes of an unknown protocol are still to come. */
  readonly idleSinceMs = -1;
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
  private server: UpstreamLink | undefined = undefined;
  private early: Buffer[] = [];
  private earlyBytes = 0;
  private clientEnded = false;
  private serverEnded = false;
  private over = false;
  /** Its upstream connection is gone though the client may send: nobody takes its bytes any more. */
  private deserted = false;
  private closedHere = false;
  private trying = false;
  private triesAgain = false;
  private toldOpened = false;
  private readonly idleTimer: WheelTimer;
  private readonly durationTimer: WheelTimer;
  private readonly progressTimer: WheelTimer;
  private readonly logTimer: WheelTimer;
  private pick: TcpPick | undefined = undefined;
  /** It waits, or has waited, for its cluster. */
  private demanded: Disposable | undefined = undefined;

  constructor(settings: TcpProxySettings, client: Connection, downstream: DownstreamInfo, onGone: () => void) {
    this.settings = settings;
    this.client = client;
    this.downstream = downstream;
    this.onGone = onGone;
    const { wheel } = settings.tools;
    this.startMs = wheel.nowMs();
    this.idleTimer = new WheelTimer(this, idleKind);
    this.durationTimer = new WheelTimer(this, durationKind);
    this.progressTimer = new WheelTimer(this, progressKind);
    this.logTimer = new WheelTimer(this, logKind);
  }

  /** Nothing tells a TCP client to leave; it stays until its peer or the process ends it. */
  drain(): void {}
  close(): void {
    this.client.destroy();
  }
  closeIdle(): void {}

  onTimer(kind: number): void {
    if (kind === progressKind) {
      for (const observer of this.settings.observers) observer.tcpProgress(this);
      this.settings.tools.wheel.arm(this.progressTimer, progressMs);
      return;
    }
    if (kind === logKind) {
      this.settings.log?.(this);
      this.settings.tools.wheel.arm(this.logTimer, this.settings.logEveryMs);
      return;
    }
    const { idleTimeouts, maxDurations } = this.settings.counters;
    this.details = kind === idleKind ? "idle_timeout" : "max_duration_timeout";
    (kind === idleKind ? idleTimeouts : maxDurations).add(1);
    if (kind === durationKind) this.flag("DT");
    this.closedHere = true;
    this.client.destroy();
  }

  onRead(bytes: Buffer): void {
    if (this.deserted) {
      this.client.reset();
      return;
    }
    this.requestBodyBytes += bytes.length;
    this.settings.counters.received.add(bytes.length);
    if (this.cluster !== undefined) this.cluster.counters.upstreamCxTxBytesTotal += bytes.length;
    this.touch();
    const { server } = this;
    if (server === undefined || !server.ready) {
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
    if (this.server?.ready) this.server.end();
  }
  onDrain(): void {
    this.server?.resume();
  }
  onClose(error: NodeJS.ErrnoException | undefined): void {
    const { server } = this;
    if (!this.serverEnded && !this.clientEnded && !this.closedHere) this.flag("DC");
    if (server?.open) {
      if (!server.ready) server.abandon();
      else if (error?.code === "ECONNRESET") server.reset();
      // What the client sent before its end may still be on its way; a server that stays open has nobody left to talk to.
      else if (this.clientEnded && this.serverEnded && !this.closedHere) server.endWithin(this.settings.idleTimeoutMs);
      else server.destroy();
    }
    this.finish();
  }

  private flag(flag: string): void {
    this.flags = withFlag(this.flags, flag);
  }

  /** Takes the connection over, with an upstream connection that is being made already or stands. */
  start(dial: TcpDial | undefined): void {
    const { settings, client } = this;
    client.handler = this;
    settings.counters.connections.add(1);
    settings.counters.active.add(1);
    if (settings.maxDurationMs > 0) settings.tools.wheel.arm(this.durationTimer, settings.maxDurationMs);
    if (settings.logEveryMs > 0) settings.tools.wheel.arm(this.logTimer, settings.logEveryMs);
    this.touch();
    if (dial === undefined) this.begin();
    else this.adopt(dial);
  }

  private adopt(dial: TcpDial): void {
    this.cluster = dial.cluster;
    this.host = dial.host;
    this.pick = dial.pick;
    this.tie(dial.cluster, dial.host);
    this.attempts = 1;
    this.server = dial;
    dial.owner = this;
    if (dial.ready) this.onDialed(dial);
  }

  private begin(): void {
    const { settings } = this;
    const choice = settings.choose(settings.tools.random(), this.downstream);
    this.demanded = settings.awaitCluster?.(choice.cluster, () => this.go(choice));
    if (this.demanded === undefined) this.go(choice);
  }

  private go({ cluster: name, metadataMatch }: ReturnType<TcpProxySettings["choose"]>): void {
    const { settings } = this;
    const cluster = settings.tools.cluster(name);
    if (cluster === undefined) {
      settings.counters.noRoute.add(1);
      this.giveUp("NC", "cluster_not_found");
      return;
    }
    this.cluster = cluster;
    this.pick = { hash: settings.hash?.(this.downstream), metadataMatch };
    this.connect(cluster, this.pick);
  }

  /** Tries follow each other, also where each fails at once: however many may, none deepens the stack. */
  private connect(cluster: Cluster, pick: TcpPick): void {
    this.triesAgain = true;
    if (this.trying) return;
    this.trying = true;
    while (this.triesAgain) {
      this.triesAgain = false;
      if (cluster.discovery.kind === "dynamic") this.find(cluster);
      else this.connectTo(cluster, pickHost(this.settings.tools.originalHost, cluster, this.downstream, pick));
    }
    this.trying = false;
  }

  /** The host by the name that the client asks for. */
  private find(cluster: Cluster): void {
    const { tools, dynamicPort } = this.settings;
    const name = serverNameOf(this.downstream);
    const take = (found: Host | NoHost): void => {
      if (this.over) return;
      if (typeof found === "string") this.giveUp("DF", "dns_resolution_failure");
      else this.connectTo(cluster, found);
    };
    const found = name === "" ? "unresolved" : tools.dynamicHost(cluster, `${name}:${dynamicPort}`, take);
    if (found !== undefined) take(found);
  }

  private connectTo(cluster: Cluster, host: Host | undefined): void {
    const { tools, tunnel } = this.settings;
    if (host === undefined) {
      cluster.counters.upstreamCxNoneHealthy++;
      this.giveUp("UH", "no_healthy_upstream");
      return;
    }
    this.host?.ties?.delete(this);
    this.host = host;
    this.tie(cluster, host);
    this.attempts++;
    const target = { cluster, host, downstream: this.downstream };
    if (tunnel !== undefined) {
      this.dial(new TunnelDial(tunnel, tools, target, this));
      return;
    }
    if (!reserveConnection(cluster, host)) {
      cluster.counters.upstreamCxOverflow++;
      this.giveUp("UO", "upstream_connection_overflow");
      return;
    }
    this.dial(new TcpDial(tools, target, this));
  }

  /** Where the cluster wants it, the connection ends when its host is put out. */
  private tie({ closesOnFailure }: Cluster, host: Host): void {
    if (!closesOnFailure) return;
    host.ties ??= new Set();
    host.ties.add(this);
  }

  private dial(link: UpstreamLink): void {
    this.server = link;
    const problem = link.start();
    if (problem !== undefined) this.onNotDialed(link, problem);
  }

  /** Told only now: who is at the other end of the upstream connection is part of what is counted. */
  private tellOpened(): void {
    const { observers, tools } = this.settings;
    if (this.toldOpened || observers.length === 0) return;
    this.toldOpened = true;
    for (const observer of observers) observer.tcpOpened(this);
    tools.wheel.arm(this.progressTimer, progressMs);
  }

  onDialed(dial: UpstreamLink): void {
    this.upstreamTls = dial.identities;
    this.upstreamLocalAddress = dial.localAddress;
    this.tellOpened();
    if (this.settings.logsConnected) this.settings.log?.(this);
    for (const chunk of this.early) dial.write(chunk);
    const waited = this.earlyBytes >= earlyBytesMax;
    this.early = [];
    this.earlyBytes = 0;
    if (waited) this.client.resume();
    if (this.clientEnded) dial.end();
  }
  onNotDialed(_dial: UpstreamLink, reason: string): void {
    this.server = undefined;
    if (this.over) return;
    this.upstreamFailure = reason;
    if (this.cluster !== undefined && this.attempts < this.settings.connectAttempts && this.client.open) {
      this.connect(this.cluster, this.pick ?? noPick);
      return;
    }
    if (this.cluster !== undefined) this.cluster.counters.upstreamCxConnectAttemptsExceeded++;
    this.giveUp("UF", "upstream_connection_failure");
  }
  onServerRead(bytes: Buffer): void {
    this.responseBodyBytes += bytes.length;
    this.settings.counters.sent.add(bytes.length);
    if (this.cluster !== undefined) this.cluster.counters.upstreamCxRxBytesTotal += bytes.length;
    const { client } = this;
    this.touch();
    client.write(bytes);
    if (client.congested) this.server?.pause();
  }
  onServerEnd(): void {
    this.serverEnded = true;
    this.client.end();
  }
  onServerDrain(): void {
    this.client.resume();
  }
  onServerClose(error: NodeJS.ErrnoException | undefined): void {
    this.server = undefined;
    if (this.over) return;
    // What is written to a server that ended its side and was then gone for good fails so.
    if (error?.code === "ECONNRESET" || error?.code === "EPIPE") this.client.reset();
    else if (this.serverEnded) this.desert();
    else this.client.destroy();
  }

  /** The client has what the server said, and is told when it says more: a closed server's system would do so. */
  private desert(): void {
    this.deserted = true;
    this.client.end();
    this.client.resume();
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
    this.demanded?.[Symbol.dispose]();
    this.host?.ties?.delete(this);
    this.idleTimer.retire();
    this.durationTimer.retire();
    this.logTimer.retire();
    this.early = [];
    const { settings } = this;
    settings.counters.active.add(-1);
    if (this.cluster !== undefined) {
      this.tellOpened();
      for (const observer of settings.observers) observer.tcpClosed(this);
    }
    this.progressTimer.retire();
    settings.log?.(this);
    this.onGone();
  }
}

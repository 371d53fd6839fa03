import { formatAddress, type SocketAddress } from "@weft/core/address";
import { formatError } from "@weft/core/error";
import type { SetTimer } from "@weft/core/world";
import type { OpenListener, TcpListener } from "@weft/net/tcp/accept";
import type { Connection } from "@weft/net/tcp/connection";
import { originalDestination, transparentDestination } from "@weft/net/tcp/original-destination";
import type { SocketLoop } from "@weft/net/tcp/socket-loop";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { ServedConnection } from "../http/server-connection.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import type { Overload } from "../overload/overload.ts";
import { type FoundHeader, HeaderReader } from "../proxy-protocol/header-reader.ts";
import type { ProxyProtocolFilter } from "../proxy-protocol/listener-filter.ts";
import type { ListenerState } from "../runtime/data-plane.ts";
import { carryOver } from "./carry-over.ts";
import type { CompiledListener, FilterChain } from "./compile-listener.ts";
import { downstreamInfo, type Ends, endsOf } from "./ends.ts";
import { type ServeTools, serve } from "./serve.ts";
import { helloOnly, type RawChoice, type Sniffed, Sniffer } from "./sniffer.ts";

export interface ListenerRuntime extends ServeTools {
  readonly overload: Overload;
  /** How many connections one listener serves at most. */
  readonly connectionsMax: number;
  readonly loop: SocketLoop;
  readonly setTimer: SetTimer;
  /** Opens the sockets; with several threads all of them come to have the same ports. */
  readonly listen: OpenListener;
  /** Where the number of connections of a listener is shown to other threads. */
  readonly connectionGauge?: ((listener: string) => ConnectionGauge) | undefined;
  /** The listener that connections to that address are handed to; `undefined`: the one that accepted serves. */
  readonly handOver: (destination: SocketAddress, from: ActiveListener) => ActiveListener | undefined;
}

/** Shows a number; closing it takes the number away. */
export interface ConnectionGauge {
  set(connections: number): void;
  close(): void;
}

interface Live {
  readonly connection: Connection;
  readonly ends: Ends;
  chain: FilterChain | undefined;
  served: ServedConnection | undefined;
  /** Who can tell whether anything is in flight on it. */
  rest: IdleConnection | undefined;
}

/** More connections than this at one listener are closed at once, its own or handed over. */
export const listenerConnectionsMax = 100_000;
const noBytes = Buffer.alloc(0);
const idle: Sniffed = {
  tls: false,
  serverName: "",
  applicationProtocols: [],
  firstBytes: noBytes,
  early: undefined,
};

/**
 * A listener by name: its sockets and connections outlive changes of its configuration. New connections are served by
 * the configuration of the moment they come; old HTTP ones take the new settings of their chain with their next request,
 * and where the chain is gone or wants other TLS or network filters they are told to leave. Old TCP ones stay as they are.
 */
export class ActiveListener {
  config: CompiledListener;
  private readonly runtime: ListenerRuntime;
  private readonly gauge: ConnectionGauge | undefined;
  private sockets: TcpListener[] = [];
  private boundKey = "";
  /** Where its sockets are, once they are bound. */
  bound: readonly SocketAddress[] = [];
  private state: ListenerState["state"] = "active";
  private error: string | undefined = undefined;
  private readonly live = new Set<Live>();
  private idle: PromiseWithResolvers<void> | undefined = undefined;
  /** Settles when the bind of now has succeeded or failed. */
  settled: Promise<void> = Promise.resolve();

  constructor(config: CompiledListener, runtime: ListenerRuntime) {
    this.config = config;
    this.runtime = runtime;
    this.gauge = runtime.connectionGauge?.(config.name);
    this.bind();
  }

  /** Takes a new configuration; the sockets stay where the addresses are the same. */
  update(config: CompiledListener): void {
    const carried = carryOver(this.config, config);
    this.config = config;
    for (const live of this.live) {
      if (live.chain === undefined || live.chain.terminal.kind !== "http") continue;
      const next = carried.get(live.chain);
      if (next === undefined) live.served?.drain();
      live.chain = next;
    }
    if (this.state !== "draining") this.bind();
  }

  get summary(): ListenerState {
    return {
      name: this.config.name,
      address: this.bound[0],
      state: this.state,
      error: this.error,
      connections: this.live.size,
    };
  }

  /** Stops accepting and tells clients to leave. */
  drain(): void {
    this.state = "draining";
    this.unbind();
    for (const { served, connection } of [...this.live]) {
      if (served !== undefined) served.drain();
      else connection.destroy();
    }
    this.closeGaugeIfIdle();
  }
  /** Resolves when the last connection has gone. */
  gone(): Promise<void> {
    if (this.live.size === 0) return Promise.resolve();
    this.idle ??= Promise.withResolvers();
    return this.idle.promise;
  }
  close(): void {
    this.state = "draining";
    this.unbind();
    for (const { connection } of [...this.live]) connection.destroy();
    this.closeGaugeIfIdle();
  }

  /** Takes a connection another listener accepted, and what was read of it. */
  adopt(connection: Connection, ends: Ends, firstBytes: Buffer): void {
    if (this.live.size >= this.runtime.connectionsMax) {
      this.config.counters.overflow.add(1);
      connection.handler = { onRead() {}, onPeerEnd() {}, onDrain() {}, onClose: () => ends.ties.release() };
      connection.destroy();
      return;
    }
    this.inspect(connection, ends, firstBytes);
  }

  /** Shows the connections that may be idle; none where pressure is not to be felt. */
  visitIdle(visit: (connection: IdleConnection) => void): void {
    if (this.config.bypassesOverload) return;
    for (const { rest } of this.live) if (rest !== undefined) visit(rest);
  }

  private bind(): void {
    const { binds, addresses, transparent } = this.config;
    const key = binds
      ? addresses
          .map((address) => `${formatAddress(address)}${address.ipv6Only ? "" : "+ipv4"}${transparent ? "+any" : ""}`)
          .join(" ")
      : "";
    if (key === this.boundKey && this.state === "active") return;
    this.unbind();
    this.boundKey = key;
    this.state = "active";
    this.error = undefined;
    if (!binds) return;
    const { loop, listen } = this.runtime;
    this.sockets = addresses.map((address) =>
      listen({ name: this.config.name, loop, address, ipv6Only: address.ipv6Only, transparent }, (connection) =>
        this.accept(connection),
      ),
    );
    const { sockets } = this;
    this.settled = Promise.all(sockets.map(({ bound }) => bound)).then(
      (bound) => {
        if (this.sockets === sockets) this.bound = bound;
      },
      (error: unknown) => {
        if (this.sockets !== sockets) return;
        this.state = "failed";
        this.error = formatError(error);
        this.unbind();
      },
    );
  }
  private unbind(): void {
    for (const socket of this.sockets) socket.close();
    this.sockets = [];
    this.bound = [];
    this.boundKey = "";
  }

  private accept(connection: Connection): void {
    const { config } = this;
    const { overload, connectionsMax } = this.runtime;
    if (this.live.size >= connectionsMax || (!config.bypassesOverload && overload.refusesConnection())) {
      config.counters.overflow.add(1);
      connection.destroy();
      return;
    }
    const original = config.readsOriginalDst ? this.originalOf(connection) : undefined;
    if (config.proxyProtocol === undefined)
      this.route(connection, endsOf(connection, { original, source: config.originalSource }), noBytes);
    else this.readHeader(connection, config.proxyProtocol, original);
  }

  private originalOf({ socket }: Connection): SocketAddress | undefined {
    if (!this.config.transparent) return originalDestination(socket);
    return transparentDestination(socket, this.bound[0]?.port ?? 0);
  }

  /** The connection counts as ours while its PROXY protocol header is read. */
  private readHeader(connection: Connection, filter: ProxyProtocolFilter, original: SocketAddress | undefined): void {
    const live = this.keep(connection, endsOf(connection, { original }));
    live.rest = new HeaderReader({
      filter,
      connection,
      wheel: this.runtime.wheel,
      timeoutMs: this.config.inspectTimeoutMs,
      goesOnAfterTimeout: this.config.goesOnAfterTimeout,
      onKnown: (header: FoundHeader | undefined, rest: Buffer) => {
        this.route(connection, endsOf(connection, { original, header, source: this.config.originalSource }), rest);
        this.forget(live);
      },
      onGone: () => this.forget(live),
    });
  }

  private route(connection: Connection, ends: Ends, firstBytes: Buffer): void {
    if (ends.destination !== undefined && this.config.useOriginalDst) {
      const other = this.runtime.handOver(ends.destination, this);
      if (other !== undefined) {
        other.adopt(connection, ends, firstBytes);
        return;
      }
    }
    this.inspect(connection, ends, firstBytes);
  }

  private keep(connection: Connection, ends: Ends): Live {
    const live: Live = { connection, ends, chain: undefined, served: undefined, rest: undefined };
    this.live.add(live);
    connection.congestedAt = this.config.bufferBytesMax;
    this.runtime.overload.entered();
    this.gauge?.set(this.live.size);
    return live;
  }

  private inspect(connection: Connection, ends: Ends, firstBytes: Buffer): void {
    const { config } = this;
    const live = this.keep(connection, ends);
    const onGone = (): void => this.forget(live);
    if ((!config.inspectsTls && !config.inspectsHttp) || config.exempt(ends.localPort)) {
      this.serve(live, firstBytes.length === 0 ? idle : { ...idle, firstBytes: Buffer.from(firstBytes) });
      return;
    }
    live.rest = new Sniffer(config, connection, this.runtime, {
      onKnown: (sniffed) => this.serve(live, sniffed),
      onGone,
      rawChoice: () => this.rawChoice(ends),
    });
    if (firstBytes.length > 0) connection.handler.onRead(firstBytes);
  }

  /** The chain that would pass a connection's bytes on without knowing what they are, where it may. */
  private rawChoice(ends: Ends): RawChoice | undefined {
    const { chain, info } = this.choose(ends, idle);
    if (chain === undefined || chain.tls !== undefined || chain.terminal.kind !== "tcp") return undefined;
    for (const allow of chain.limits) if (!allow(info, true).allowed) return undefined;
    for (const allow of chain.allow) if (!allow(info, true).allowed) return undefined;
    return { chain, info, settings: chain.terminal.settings };
  }

  private choose(
    ends: Ends,
    sniffed: Sniffed,
  ): { readonly chain: FilterChain | undefined; readonly info: DownstreamInfo } {
    const { config } = this;
    const chain = config.findChain({
      destinationHost: ends.localHost,
      destinationPort: ends.localPort,
      sourceHost: ends.remoteHost,
      sourcePort: ends.remotePort,
      directSourceHost: ends.directHost,
      serverName: sniffed.serverName,
      transportProtocol: sniffed.tls ? "tls" : "raw_buffer",
      applicationProtocols: sniffed.applicationProtocols,
    });
    const info = downstreamInfo(ends, config, chain?.name ?? "");
    if (sniffed.serverName === "") return { chain, info };
    return { chain, info: { ...info, requestedServerName: sniffed.serverName } };
  }

  private serve(live: Live, sniffed: Sniffed): void {
    const { connection, ends } = live;
    live.rest = undefined;
    const { early } = sniffed;
    const { chain, info } = early?.settled ? early : this.choose(ends, sniffed);
    const { counters } = this.config;
    const { wheel } = this.runtime;
    const startMs = wheel.nowMs();
    counters.connections.add(1);
    const onGone = (): void => {
      counters.destroyed.add(1);
      counters.length.record(Math.round(wheel.nowMs() - startMs));
      this.forget(live);
    };
    if (chain === undefined) {
      counters.noChain.add(1);
      this.refuse(connection, info, onGone);
      return;
    }
    live.chain = chain;
    const begin = (known: Sniffed): void =>
      serve(
        {
          counters,
          chain,
          connection,
          info,
          sni: known.serverName,
          offered: known.applicationProtocols,
          firstBytes: known.firstBytes,
          dial: chain === early?.chain ? early.dial : undefined,
        },
        this.runtime,
        (served) => {
          live.served = served;
          live.rest = served;
          // Its chain went while the handshake was under way.
          if (live.chain === undefined) served.drain();
        },
        onGone,
      );
    if (chain.tls === undefined || sniffed.tls) {
      begin(sniffed);
      return;
    }
    // No inspector has read the hello, and what it offers by ALPN is needed to answer it.
    new Sniffer(helloOnly, connection, this.runtime, { onKnown: begin, onGone, rawChoice: () => undefined });
    if (sniffed.firstBytes.length > 0) connection.handler.onRead(sniffed.firstBytes);
  }

  private refuse(connection: Connection, downstream: DownstreamInfo, onGone: () => void): void {
    this.config.log?.({
      downstream,
      cluster: undefined,
      host: undefined,
      startMs: this.runtime.wheel.nowMs(),
      flags: "NR",
      details: "filter_chain_not_found",
      attempts: 0,
      requestBodyBytes: 0,
      responseBodyBytes: 0,
      reportedRequestBytes: 0,
      reportedResponseBytes: 0,
      upstreamFailure: "",
      peer: undefined,
    });
    connection.handler = { onRead() {}, onPeerEnd() {}, onDrain() {}, onClose: onGone };
    connection.destroy();
  }

  private forget(live: Live): void {
    if (!this.live.delete(live)) return;
    this.runtime.overload.left();
    this.gauge?.set(this.live.size);
    live.ends.ties.release();
    if (this.live.size > 0) return;
    this.closeGaugeIfIdle();
    this.idle?.resolve();
    this.idle = undefined;
  }

  private closeGaugeIfIdle(): void {
    if (this.state === "draining" && this.live.size === 0) this.gauge?.close();
  }
}

import { formatAddress, type SocketAddress } from "@weft/core/address";
import { formatError } from "@weft/core/error";
import { listenTcp, type TcpListener } from "@weft/net/tcp/accept";
import type { Connection } from "@weft/net/tcp/connection";
import { originalDestination } from "@weft/net/tcp/original-destination";
import type { SocketLoop } from "@weft/net/tcp/socket-loop";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { ServedConnection } from "../http/server-connection.ts";
import type { ListenerState } from "../runtime/data-plane.ts";
import { carryOver } from "./carry-over.ts";
import type { CompiledListener, FilterChain } from "./compile-listener.ts";
import { chooseChain } from "./filter-chain-match.ts";
import { type ServeTools, serve } from "./serve.ts";
import { type Sniffed, Sniffer } from "./sniffer.ts";

export interface ListenerRuntime extends ServeTools {
  readonly loop: SocketLoop;
  readonly reusePort: boolean;
  /** The listener that connections to that address are handed to; `undefined`: the one that accepted serves. */
  readonly handOver: (destination: SocketAddress, from: ActiveListener) => ActiveListener | undefined;
}

interface Live {
  readonly connection: Connection;
  chain: FilterChain | undefined;
  served: ServedConnection | undefined;
}

/** More connections than this at one listener are closed at once. */
const connectionsMax = 100_000;
const noBytes = Buffer.alloc(0);
const idle: Sniffed = { tls: false, serverName: "", applicationProtocols: [], firstBytes: noBytes };

/**
 * A listener by name: its sockets and connections outlive changes of its configuration. New connections are served by
 * the configuration of the moment they come; old HTTP ones take the new settings of their chain with their next request,
 * and where the chain is gone or wants other TLS or network filters they are told to leave. Old TCP ones stay as they are.
 */
export class ActiveListener {
  config: CompiledListener;
  private readonly runtime: ListenerRuntime;
  private sockets: TcpListener[] = [];
  private boundKey = "";
  private address: SocketAddress | undefined = undefined;
  private state: ListenerState["state"] = "active";
  private error: string | undefined = undefined;
  private readonly live = new Set<Live>();
  private onIdle: (() => void) | undefined = undefined;
  /** Settles when the bind of now has succeeded or failed. */
  settled: Promise<void> = Promise.resolve();

  constructor(config: CompiledListener, runtime: ListenerRuntime) {
    this.config = config;
    this.runtime = runtime;
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
      address: this.address,
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
  }
  /** Resolves when the last connection has gone. */
  gone(): Promise<void> {
    if (this.live.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.onIdle = resolve;
    });
  }
  close(): void {
    this.state = "draining";
    this.unbind();
    for (const { connection } of [...this.live]) connection.destroy();
  }

  /** Takes a connection another listener accepted. */
  adopt(connection: Connection, destination: SocketAddress): void {
    this.inspect(connection, destination);
  }

  private bind(): void {
    const { binds, addresses } = this.config;
    const key = binds
      ? addresses.map((address) => `${formatAddress(address)}${address.ipv6Only ? "" : "+ipv4"}`).join(" ")
      : "";
    if (key === this.boundKey && this.state === "active") return;
    this.unbind();
    this.boundKey = key;
    this.address = undefined;
    this.state = "active";
    this.error = undefined;
    if (!binds) return;
    const { loop, reusePort } = this.runtime;
    this.sockets = addresses.map((address) =>
      listenTcp({ loop, address, reusePort, ipv6Only: address.ipv6Only }, (connection) => this.accept(connection)),
    );
    const { sockets } = this;
    this.settled = Promise.all(sockets.map(({ bound }) => bound)).then(
      ([first]) => {
        if (this.sockets === sockets) this.address = first;
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
    this.boundKey = "";
  }

  private accept(connection: Connection): void {
    const { config } = this;
    if (this.live.size >= connectionsMax) {
      connection.destroy();
      return;
    }
    const destination = config.readsOriginalDst ? originalDestination(connection.socket) : undefined;
    if (destination !== undefined && config.useOriginalDst) {
      const other = this.runtime.handOver(destination, this);
      if (other !== undefined) {
        other.adopt(connection, destination);
        return;
      }
    }
    this.inspect(connection, destination);
  }

  private inspect(connection: Connection, destination: SocketAddress | undefined): void {
    const { config } = this;
    const live: Live = { connection, chain: undefined, served: undefined };
    this.live.add(live);
    const onGone = (): void => this.forget(live);
    const port = destination?.port ?? connection.localPort;
    if ((!config.inspectsTls && !config.inspectsHttp) || config.exempt(port)) {
      this.serve(live, destination, idle);
      return;
    }
    new Sniffer(config, connection, this.runtime.wheel, {
      onKnown: (sniffed) => this.serve(live, destination, sniffed),
      onGone,
    });
  }

  private serve(live: Live, destination: SocketAddress | undefined, sniffed: Sniffed): void {
    const { config } = this;
    const { connection } = live;
    const local = destination ?? { host: connection.localHost, port: connection.localPort };
    const remoteHost = plainHost(connection.remoteHost);
    const chain =
      chooseChain(config.chains, {
        destinationHost: local.host,
        destinationPort: local.port,
        sourceHost: remoteHost,
        sourcePort: connection.remotePort,
        serverName: sniffed.serverName,
        transportProtocol: sniffed.tls ? "tls" : "raw_buffer",
        applicationProtocols: sniffed.applicationProtocols,
      }) ?? config.defaultChain;
    const onGone = (): void => this.forget(live);
    const info: DownstreamInfo = {
      listenerName: config.name,
      filterChainName: chain?.name ?? "",
      direction: config.direction,
      remoteHost,
      remotePort: connection.remotePort,
      localHost: plainHost(local.host),
      localPort: local.port,
      originalDestination: destination,
      tls: undefined,
    };
    if (chain === undefined) {
      this.refuse(connection, info, onGone);
      return;
    }
    live.chain = chain;
    const serving = {
      chain,
      connection,
      info,
      sni: sniffed.serverName,
      offered: sniffed.applicationProtocols,
      firstBytes: sniffed.firstBytes,
    };
    serve(
      serving,
      this.runtime,
      (served) => {
        live.served = served;
        // Its chain went while the handshake was under way.
        if (live.chain === undefined) served.drain();
      },
      onGone,
    );
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
    this.live.delete(live);
    if (this.live.size > 0) return;
    this.onIdle?.();
    this.onIdle = undefined;
  }
}

/** IPv4 as IPv4, also on a dual-stack socket. */
const plainHost = (host: string): string => (host.startsWith("::ffff:") && host.includes(".") ? host.slice(7) : host);

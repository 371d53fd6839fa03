import { randomUUID } from "node:crypto";
import type { SocketAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { type ResolveName, resolveName } from "@weft/net/dns";
import { LineFiles } from "@weft/net/line-files";
import { readText } from "@weft/net/read-text";
import { SocketLoop } from "@weft/net/tcp/socket-loop";
import { systemRoots } from "@weft/net/tls/tls-material";
import { Http2Workspace } from "@weft/protocols/http2/workspace";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import type { ProxyNode } from "../filters/http/filter.ts";
import { dateSource } from "../http/date.ts";
import { ExchangePool } from "../http/exchange-pool.ts";

import type { HttpTools, RouteSource } from "../http/hcm-settings.ts";

import { Http2ServerStreams } from "../http/http2-server-stream.ts";
import { ActiveListener, type ListenerRuntime } from "../listeners/active-listener.ts";
import { compileListener } from "../listeners/compile-listener.ts";
import type { TerminalTools } from "../listeners/compile-terminal.ts";
import type { LogSink } from "../observe/access-log.ts";
import type { Stats } from "../observe/stats.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import { compileRouteTable } from "../routing/route-table.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { ClusterTable } from "./cluster-table.ts";
import type { DataPlane, Rejection, ResourceChange } from "./data-plane.ts";
import { Secrets } from "./secrets.ts";

/** What a data plane needs of the world; what is optional has the real thing as its default. */
export interface DataPlaneTools {
  readonly node: ProxyNode;
  readonly stats: Stats;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  readonly setTimer: SetTimer;
  readonly resolve?: ResolveName;
  readonly uuid?: () => string;
  readonly readText?: (path: string) => string;
  readonly logSink?: LogSink;
  /** Several processes or threads may share the listeners' ports. */
  readonly reusePort?: boolean;
  /** False: 'data' events instead of the shared read buffer. */
  readonly useReadBuffer?: boolean;
}

/** A data plane on this thread, with nothing configured yet. */
export const createDataPlane = (tools: DataPlaneTools): DataPlane => new Plane(tools);

class Plane implements DataPlane {
  private readonly tools: DataPlaneTools;
  private readonly wheel: TimerWheel;
  private readonly secrets: Secrets;
  private readonly clusterTable: ClusterTable;
  private readonly routes = new Map<string, RouteSource>();
  private readonly active = new Map<string, ActiveListener>();
  private readonly leaving = new Set<ActiveListener>();
  private readonly terminals: TerminalTools;
  private readonly listenerRuntime: ListenerRuntime;
  private readonly lines = new LineFiles();
  private draining = false;

  constructor(tools: DataPlaneTools) {
    this.tools = tools;
    const { clock, random, setTimer, stats, node, log } = tools;
    this.wheel = new TimerWheel(clock, setTimer);
    const { wheel } = this;
    const loop = new SocketLoop({ useReadBuffer: tools.useReadBuffer ?? true });
    this.secrets = new Secrets({ readText: tools.readText ?? readText, systemRoots });
    this.clusterTable = new ClusterTable({ clock, random, wheel, log, resolve: tools.resolve ?? resolveName });
    const cluster = (name: string): CompiledCluster | undefined => this.clusterTable.get(name);
    const pools: PoolTools = {
      loop,
      wheel,
      workspace: new Http2Workspace(),
      clientContext: (transport) => this.secrets.context(transport),
    };
    const originalHost = (each: { readonly name: string }, address: string) =>
      this.clusterTable.get(each.name)?.originalHost(address);
    const http: HttpTools = {
      clock,
      random,
      uuid: tools.uuid ?? randomUUID,
      wheel,
      pools,
      cluster,
      originalHost,
      exchanges: new ExchangePool(),
      http2Streams: new Http2ServerStreams(),
      date: dateSource(clock),
    };
    this.terminals = {
      http,
      stats,
      node,
      setTimer,
      logs: { clock, random, sink: tools.logSink ?? this.lines.write },
      routeSource: (name) => this.routeSource(name),
      tcp: { clock, random, wheel, pools, cluster, originalHost },
    };
    this.listenerRuntime = {
      loop,
      wheel,
      context: (input) => this.secrets.context(input),
      reusePort: tools.reusePort === true,
      handOver: (destination, from) => this.listenerFor(destination, from),
    };
  }

  apply(changes: readonly ResourceChange[]): readonly Rejection[] {
    const rejections: Rejection[] = [];
    const steps: (() => void)[] = [];
    const inOrder = [...changes].sort((a, b) => rank(a) - rank(b));
    for (const change of inOrder) {
      const step = this.attempt(change, () => this.prepare(change));
      if (typeof step === "function") steps.push(step);
      else rejections.push(step);
    }
    // Nothing but memory is touched from here on, so all of it takes effect before any request is looked at.
    for (const step of steps) step();
    return rejections;
  }

  check(change: ResourceChange): Rejection | undefined {
    const result = this.attempt(change, () => this.prepare(change));
    return typeof result === "function" ? undefined : result;
  }

  listeners() {
    return [...this.active.values(), ...this.leaving].map(({ summary }) => summary);
  }
  clusters() {
    return this.clusterTable.list();
  }

  async settled(): Promise<void> {
    await Promise.all([...this.active.values()].map((listener) => listener.settled));
  }

  async drain(timeoutMs: number): Promise<void> {
    this.draining = true;
    const all = [...this.active.values(), ...this.leaving];
    for (const listener of all) listener.drain();
    const late = Promise.withResolvers<void>();
    using _timer = this.tools.setTimer(() => late.resolve(), timeoutMs);
    await Promise.race([Promise.all(all.map((listener) => listener.gone())), late.promise]);
  }

  async close(): Promise<void> {
    this.draining = true;
    const all = [...this.active.values(), ...this.leaving];
    for (const listener of all) listener.close();
    this.clusterTable.close();
    await Promise.all(all.map((listener) => listener.gone()));
    this.wheel.close();
    this.lines.flush();
  }

  /** Compiles the change; what it gives back puts it into effect and cannot fail. */
  private prepare(change: ResourceChange): () => void {
    const { name } = change;
    switch (change.kind) {
      case "cluster": {
        const { json } = change;
        if (json === undefined) return () => this.clusterTable.delete(name);
        this.clusterTable.check(json);
        return () => this.clusterTable.set(name, json);
      }
      case "endpoints": {
        const { json } = change;
        if (json !== undefined) this.clusterTable.checkEndpoints(json);
        return () => this.clusterTable.setEndpoints(name, json);
      }
      case "route":
        return this.prepareRoute(name, change.json);
      case "listener": {
        if (change.json === undefined) return () => this.removeListener(name);
        const compiled = compileListener(change.json, this.terminals);
        return () => this.putListener(name, compiled);
      }
      case "secret": {
        const secret = change.json === undefined ? undefined : this.secrets.compile(change.json);
        return () => this.secrets.set(name, secret);
      }
    }
  }

  private prepareRoute(name: string, json: RouteConfigurationJson | undefined): () => void {
    const { clock, random } = this.tools;
    const table = json === undefined ? undefined : compileRouteTable(json, { clock, random });
    return () => {
      this.routeSource(name).table = table;
    };
  }

  private attempt({ kind, name }: ResourceChange, prepare: () => () => void): (() => void) | Rejection {
    try {
      return prepare();
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        this.tools.log.error("resource cannot be compiled", { code: "WF5020", kind, name, error: String(error) });
      }
      return { kind, name, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Made at first mention, so that a listener may come before its routes. */
  private routeSource(name: string): RouteSource {
    let source = this.routes.get(name);
    if (source === undefined) {
      source = { table: undefined };
      this.routes.set(name, source);
    }
    return source;
  }

  private putListener(name: string, compiled: ReturnType<typeof compileListener>): void {
    const before = this.active.get(name);
    if (before !== undefined) {
      before.update(compiled);
      return;
    }
    if (this.draining) return;
    const listener = new ActiveListener(compiled, this.listenerRuntime);
    this.active.set(name, listener);
  }

  private removeListener(name: string): void {
    const listener = this.active.get(name);
    if (listener === undefined) return;
    this.active.delete(name);
    this.leaving.add(listener);
    listener.drain();
    void listener.gone().then(() => this.leaving.delete(listener));
  }

  /** As Envoy: the listener of that very address, else the one of its port on any address. */
  private listenerFor(destination: SocketAddress, from: ActiveListener): ActiveListener | undefined {
    let wildcard: ActiveListener | undefined;
    for (const listener of this.active.values()) {
      if (listener === from) continue;
      for (const { host, port } of listener.config.addresses) {
        if (port !== destination.port) continue;
        if (host === destination.host) return listener;
        if (host === "0.0.0.0" || host === "::") wildcard ??= listener;
      }
    }
    return wildcard;
  }
}

/** Make before break: what others name comes first, removals of it last. */
const order = ["secret", "cluster", "endpoints", "route", "listener"] as const;
const rank = ({ kind, json }: ResourceChange): number => {
  const at = order.indexOf(kind);
  return json === undefined ? 2 * order.length - at : at;
};

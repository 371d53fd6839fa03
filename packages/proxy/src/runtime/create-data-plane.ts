import { randomUUID } from "node:crypto";
import { ConfigError } from "@weft/core/config-error";
import { type Clock, type Logger, type Random, type SetTimer, scopedLog } from "@weft/core/world";
import { LineFiles } from "@weft/net/line-files";
import { collectGarbage } from "@weft/net/process/give-back-memory";
import { memoryInUse } from "@weft/net/process/process-limits";
import { readText } from "@weft/net/read-text";
import { listenTcp, type OpenListener } from "@weft/net/tcp/accept";
import { SocketLoop } from "@weft/net/tcp/socket-loop";
import { systemRoots } from "@weft/net/tls/tls-material";
import { Http2Workspace } from "@weft/protocols/http2/workspace";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import type { CountsSource } from "../clusters/counts.ts";
import { updateCounters } from "../clusters/update-window.ts";
import { machineNames } from "../dns/machine-names.ts";
import type { ResolveName } from "../dns/resolve-name.ts";
import type { ProxyNode } from "../filters/http/filter.ts";
import { ConnectionSlots } from "../filters/network/connection-limit.ts";
import { dateSource } from "../http/date.ts";
import { ExchangePool } from "../http/exchange-pool.ts";
import type { HttpTools } from "../http/hcm-settings.ts";
import { Http2ServerStreams } from "../http/http2-server-stream.ts";
import { covers, createLeavingTable, type Discouraged, type DrainScope } from "../http/leaving.ts";
import { createRetryMemory, RetryChain } from "../http/retry-chain.ts";
import { ActiveListener, type ListenerRuntime, listenerConnectionsMax } from "../listeners/active-listener.ts";
import { compileListener, type ListenerTools } from "../listeners/compile-listener.ts";
import { DestinationTable } from "../listeners/destination-table.ts";
import { HandshakePacer, handshakesPerSecond } from "../listeners/handshake-pacer.ts";
import type { OpenLog } from "../observe/access-log.ts";
import { lineCounts } from "../observe/line-counts.ts";
import type { Stats } from "../observe/stats.ts";
import type { OnDemand } from "../on-demand/on-demand.ts";
import { Overload } from "../overload/overload.ts";
import { type OverloadSettings, unboundedOverload } from "../overload/overload-settings.ts";
import { createShrinkCell, ShrinkTurn } from "../overload/shrink-turn.ts";
import type { IdleHost, PoolTools } from "../pool/pool-tools.ts";
import type { BucketMaker } from "../rate-limits/token-bucket.ts";
import { compileRouteTable } from "../routing/route-table.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { ClusterTable, type ClusterTableTools } from "./cluster-table.ts";
import {
  changeKey,
  inOrder,
  type PreparedBatch,
  type Rejection,
  type ResourceChange,
  type SteppedDataPlane,
} from "./data-plane.ts";
import { createFirstChecks, type FirstChecks, type FirstRound } from "./first-checks.ts";
import { createHostFinders } from "./host-finders.ts";
import { createIdleCloser } from "./idle-closing.ts";
import { RouteSources, type RouteTables, tablesIn } from "./route-sources.ts";
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
  /** Instead of files. */
  readonly openLog?: OpenLog;
  /** Opens the listeners' sockets. */
  readonly listen?: OpenListener;
  /** Where counts are kept; objects of this thread when absent. */
  readonly counts?: CountsSource;
  /** Buckets for the resource of that name and text that all threads take from; each its own when absent. */
  readonly sharedBuckets?: (resource: string, text: () => string) => BucketMaker;
  /** Where it is kept which requests are retries; this thread's own when absent. */
  readonly retryMemory?: SharedArrayBuffer;
  /** Shows how many connections a listener has to whoever may read it. */
  readonly connectionGauge?: ListenerRuntime["connectionGauge"];
  /** False: this thread only judges what others serve, and checks their hosts; it has no listeners and no routes. */
  readonly serves?: boolean;
  /** When to refuse work, and this thread's share of the process's memory, where that is bounded. */
  readonly overload?: {
    readonly settings: OverloadSettings;
    readonly memoryLimitBytes: number | undefined;
    readonly threads?: number;
    /** What all threads of the process take turns by to collect garbage. */
    readonly shrinkCell?: SharedArrayBuffer;
  };
  /** Fetches what requests ask for and is not here; what asks for that is refused where it is absent. */
  readonly onDemand?: OnDemand | undefined;
  /** Another thread has seen to it that what is learned one by one fits together. */
  readonly judged?: boolean;
  /** How many connections one listener serves at most. */
  readonly listenerConnectionsMax?: number;
  /** False: 'data' events instead of the shared read buffer. */
  readonly useReadBuffer?: boolean;
}

/** A data plane on this thread, with nothing configured yet. */
export const createDataPlane = (tools: DataPlaneTools): SteppedDataPlane => new Plane(tools);

class Plane implements SteppedDataPlane {
  private readonly tools: DataPlaneTools;
  private readonly wheel: TimerWheel;
  private readonly secrets: Secrets;
  private readonly clusterTable: ClusterTable;
  private readonly firstChecks: FirstChecks;
  private readonly routes = new RouteSources();
  private readonly active = new Map<string, ActiveListener>();
  private readonly leaving = new Set<ActiveListener>();
  private readonly destinations = new DestinationTable(() => this.active.values());
  private readonly terminals: ListenerTools;
  private readonly listenerRuntime: ListenerRuntime;
  private readonly poolHosts = new Set<IdleHost>();
  private readonly lines: LineFiles;
  private readonly overload: Overload;
  private stopped: DrainScope | undefined;

  constructor(tools: DataPlaneTools) {
    this.tools = tools;
    const { clock, random, setTimer, stats, node, log } = tools;
    this.wheel = new TimerWheel(clock, setTimer);
    this.lines = new LineFiles(lineCounts(stats));
    const { wheel } = this;
    const idle = createIdleCloser({ clock, stats, listeners: this.active, hosts: this.poolHosts });
    this.overload = new Overload(tools.overload?.settings ?? unboundedOverload, {
      clock,
      random,
      setTimer,
      stats,
      memory: () => ({ ...memoryInUse(), limitBytes: tools.overload?.memoryLimitBytes }),
      threads: tools.overload?.threads ?? 1,
      shrink: collectGarbage,
      shrinkTurn: new ShrinkTurn(tools.overload?.shrinkCell ?? createShrinkCell()),
      closeIdle: (strength) => idle.close(strength),
    });
    const loop = new SocketLoop({ useReadBuffer: tools.useReadBuffer ?? true });
    this.secrets = new Secrets({ readText: tools.readText ?? readText, systemRoots });
    const clusterTools: ClusterTableTools & Required<Pick<ClusterTableTools, "checks">> = {
      clock,
      random,
      wheel,
      log: scopedLog(log, "dns"),
      stats,
      resolve: tools.resolve ?? machineNames({ setTimer, random }),
      histogram: (name) => stats.histogram(name),
      checkKeyFiles: (input, at) => this.secrets.checkFiles(input, at),
      onWarm: (name) => tools.onDemand?.clusters.found(name),
      ...this.ownCluster(),
      checks: () => ({
        pools,
        random,
        log: scopedLog(log, "main"),
        wallMs: () => clock.wallMs(),
        writeLine: this.lines.write,
      }),
      updates: updateCounters(stats),
      resolvedAhead: (name) => this.firstChecks.resolved(name),
      checkedAhead: (name, address) => this.firstChecks.found(name, address),
      ...(tools.counts ? { counts: tools.counts } : {}),
    };
    this.clusterTable = new ClusterTable(clusterTools);
    this.firstChecks = createFirstChecks(clusterTools);
    const cluster = (name: string): CompiledCluster | undefined => this.clusterTable.get(name);
    const pools: PoolTools = {
      loop,
      wheel,
      workspace: new Http2Workspace(),
      log: scopedLog(log, "pool"),
      hosts: this.poolHosts,
      clientContext: (transport) => this.secrets.context(transport),
    };
    const finders = createHostFinders(cluster, () => this.active.values());
    const http: HttpTools = {
      clock,
      random,
      uuid: tools.uuid ?? randomUUID,
      wheel,
      pools,
      cluster,
      ...finders,
      exchanges: new ExchangePool(),
      retryChain: new RetryChain(tools.retryMemory ?? createRetryMemory()),
      http2Streams: new Http2ServerStreams(),
      date: dateSource(clock),
      log: scopedLog(log, "http"),
      overload: this.overload,
    };
    this.terminals = {
      http,
      stats,
      node,
      setTimer,
      onDemand: tools.onDemand,
      leavings: createLeavingTable(tools),
      logs: { clock, random, open: tools.openLog ?? this.lines.open },
      routeSource: (name) => this.routes.of(name),
      checkKeyFiles: (input, at) => this.secrets.checkFiles(input, at),
      connectionSlots: new ConnectionSlots(tools.counts),
      tcp: { clock, random, wheel, pools, cluster, ...finders },
    };
    this.listenerRuntime = {
      log: scopedLog(log, "tls"),
      overload: this.overload,
      connectionsMax: tools.listenerConnectionsMax ?? listenerConnectionsMax,
      loop,
      setTimer,
      wheel,
      handshakes: new HandshakePacer(wheel, stats, handshakesPerSecond(node)),
      context: (input) => this.secrets.context(input),
      listen: tools.listen ?? listenTcp,
      connectionGauge: tools.connectionGauge,
      handOver: (destination, from) => this.destinations.find(destination, from),
    };
  }

  *prepare(changes: readonly ResourceChange[]): Generator<undefined, PreparedBatch> {
    const rejections: Rejection[] = [];
    const steps: (readonly [key: string, put: () => void])[] = [];
    const tables = tablesIn(changes);
    for (const change of inOrder(changes)) {
      if (change.kind === "route") yield* this.judgeAhead([change]);
      const step = this.attempt(change, () => this.compile(change, tables));
      if (typeof step === "function") steps.push([changeKey(change), step]);
      else rejections.push(step);
      yield;
    }
    return {
      rejections,
      commit: (except) => {
        for (const [key, put] of steps) if (!except?.has(key)) put();
      },
    };
  }

  apply(changes: readonly ResourceChange[]): readonly Rejection[] {
    const work = this.prepare(changes);
    for (;;) {
      const { done, value } = work.next();
      if (!done) continue;
      // Nothing but memory is touched here, so all of it takes effect before any request is looked at.
      value.commit();
      return value.rejections;
    }
  }

  check(change: ResourceChange): Rejection | undefined {
    const result = this.attempt(change, () => this.compile(change));
    return typeof result === "function" ? undefined : result;
  }

  *judgeAhead(changes: readonly ResourceChange[]): Generator<undefined, void> {
    for (const change of changes) {
      if (change.json === undefined || this.tools.serves === false) continue;
      if (change.kind === "route") yield* this.routes.ahead(change.json, this.withBuckets(this.tools, change));
      if (change.kind === "cluster") this.clusterTable.ahead(change.json);
      yield;
    }
  }

  checkAhead(...of: Parameters<FirstChecks["begin"]>): FirstRound {
    return this.firstChecks.begin(...of);
  }

  inForce(): undefined {
    return undefined;
  }

  listeners() {
    return [...this.active.values(), ...this.leaving].map(({ summary }) => summary);
  }
  clusters() {
    return this.clusterTable.list();
  }
  reopenLogs(): void {
    this.lines.reopen();
  }

  async settled(): Promise<void> {
    await Promise.all([...this.active.values()].map((listener) => listener.settled));
  }

  discourage(why: Discouraged): void {
    this.terminals.leavings.put(why);
  }

  async drain(timeoutMs: number, scope: DrainScope = "all"): Promise<void> {
    if (this.stopped !== "all") this.stopped = scope;
    const all = [...this.active.values(), ...this.leaving].filter(({ config }) => covers(scope, config.direction));
    for (const listener of all) listener.drain();
    const late = Promise.withResolvers<void>();
    using _timer = this.tools.setTimer(() => late.resolve(), timeoutMs);
    await Promise.race([Promise.all(all.map((listener) => listener.gone())), late.promise]);
  }

  async close(): Promise<void> {
    this.stopped = "all";
    const all = [...this.active.values(), ...this.leaving];
    for (const listener of all) listener.close();
    this.clusterTable.close();
    this.firstChecks.close();
    await Promise.all(all.map((listener) => listener.gone()));
    this.wheel.close();
    this.overload[Symbol.dispose]();
    this.lines.flush();
  }

  /** Compiles the change; what it gives back puts it into effect and cannot fail. */
  private compile(change: ResourceChange, tables?: RouteTables): () => void {
    const { name } = change;
    switch (change.kind) {
      case "cluster": {
        const { json } = change;
        if (json === undefined) return () => this.clusterTable.delete(name);
        return this.clusterTable.prepare(name, json);
      }
      case "endpoints": {
        const { json } = change;
        if (json !== undefined) this.clusterTable.checkEndpoints(json);
        return () => this.clusterTable.setEndpoints(name, json);
      }
      case "route":
        // Where virtual hosts come one by one a judge needs the table that they are to fit into.
        if (this.tools.serves !== false || change.json?.vhds !== undefined)
          return this.routes.prepare(name, change.json, this.withBuckets(this.tools, change));
        // Only judged here: nothing of it is to stay.
        if (change.json !== undefined) compileRouteTable(change.json, this.tools);
        return this.routes.prepare(name, undefined, this.tools);
      case "virtualHost": {
        const given = tables?.get(change.table);
        return this.routes.prepareHost(change, given, this.withBuckets(this.tools, change));
      }
      case "listener": {
        if (change.json === undefined) return () => this.removeListener(name);
        const compiled = compileListener(change.json, this.withBuckets(this.terminals, change));
        if (this.tools.serves === false) return nothing;
        return () => this.putListener(name, compiled);
      }
      case "secret": {
        const secret = change.json === undefined ? undefined : this.secrets.compile(change.json);
        // Also where this thread serves nobody: its health checks need them.
        return () => this.secrets.set(name, secret);
      }
    }
  }

  private withBuckets<T extends object>(
    tools: T,
    change: ResourceChange,
  ): T & { readonly buckets: BucketMaker | undefined } {
    const buckets = this.tools.sharedBuckets?.(changeKey(change), () => JSON.stringify(change.json));
    return { ...tools, buckets };
  }

  /** Where this proxy is, and who else is of its cluster. */
  private ownCluster(): Pick<ClusterTableTools, "local" | "localCluster"> {
    const { locality, localCluster } = this.tools.node;
    if (locality === undefined || localCluster === undefined) return {};
    return { localCluster, local: { locality, hosts: () => this.clusterTable.get(localCluster)?.hosts() ?? [] } };
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
  private putListener(name: string, compiled: ReturnType<typeof compileListener>): void {
    const before = this.active.get(name);
    this.destinations.changed();
    if (before !== undefined) {
      before.update(compiled);
      return;
    }
    if (this.stopped !== undefined && covers(this.stopped, compiled.direction)) return;
    const listener = new ActiveListener(compiled, this.listenerRuntime);
    this.active.set(name, listener);
  }

  private removeListener(name: string): void {
    const listener = this.active.get(name);
    if (listener === undefined) return;
    this.active.delete(name);
    this.destinations.changed();
    this.leaving.add(listener);
    listener.drain();
    void listener.gone().then(() => this.leaving.delete(listener));
  }
}

const nothing = (): void => {};

/**
 * A data plane on several threads. This thread judges: it compiles every change by itself, so what is refused is known
 * at once, and it keeps the clusters, which it sweeps for outliers and shows. The workers serve. A batch goes to them in
 * two phases: all compile it, and only when all have is it put in force; a change that one worker could not take is
 * taken by none.
 */
import type { Clock, Logger, LogLevel, LogScope, Random, SetTimer } from "@weft/core/world";
import type { StartThread } from "@weft/net/process/thread";
import { duplicateDescriptor } from "@weft/net/tcp/libc";
import type { PassedSocket } from "@weft/net/tcp/pass-sockets";
import type { Cluster } from "../clusters/cluster.ts";
import type { ResolveName } from "../dns/resolve-name.ts";
import type { ProxyNode } from "../filters/http/filter.ts";
import type { Discouraged, DrainScope } from "../http/leaving.ts";
import { createRetryMemory } from "../http/retry-chain.ts";
import type { StatsStore } from "../observe/create-stats.ts";
import type { Counter } from "../observe/stats.ts";
import type { AskOutcome } from "../on-demand/demands.ts";
import type { OnDemandDesk } from "../on-demand/on-demand.ts";
import type { OverloadShare } from "../overload/process-overload.ts";
import { createDataPlane } from "../runtime/create-data-plane.ts";
import {
  changeKey,
  type DataPlane,
  type ListenerState,
  type Rejection,
  type ResourceChange,
} from "../runtime/data-plane.ts";
import type { Inherited } from "../takeover/inherited.ts";
import { CommittedChanges } from "./committed-changes.ts";
import { type ConnectionReader, createConnectionReader, createConnectionsMemory } from "./connection-gauges.ts";
import { DemandDesk } from "./demand-desk.ts";
import { mergeListeners } from "./merge-listeners.ts";
import { createPortClaims, type PortClaims } from "./port-claims.ts";
import type { Claim, ErrorText, FromWorker } from "./protocol.ts";
import { createBucketsMemory, openSharedBuckets, type SharedBuckets } from "./shared-buckets.ts";
import { createCountsMemory, mainLane, openSharedCounts, type SharedCounts } from "./shared-counts.ts";
import { createSharedNames } from "./shared-names.ts";
import { WorkerSlot } from "./worker-slot.ts";

export interface WorkersPlaneOptions {
  readonly workers: number;
  readonly node: ProxyNode;
  readonly stats: StatsStore;
  readonly log: Logger;
  readonly logFormat: "text" | "json";
  readonly levels: () => ReadonlyMap<LogScope, LogLevel>;
  readonly writeLine: (line: string) => void;
  readonly clock: Clock;
  readonly clockOffsetMs: number;
  /** What each of the threads may use. */
  readonly overload: OverloadShare;
  readonly random: Random;
  readonly setTimer: SetTimer;
  readonly resolve: ResolveName;
  /** Fetches what the workers' requests ask for; what asks for that is refused where it is absent. */
  readonly onDemand?: OnDemandDesk | undefined;
  /** Binds an address alone for a moment; gives the address that was had, or rejects with WF5001 and the like. */
  readonly probe: (claim: Claim) => Promise<{ readonly host: string; readonly port: number }>;
  /** What another process listened on before. */
  readonly inherited?: Inherited | undefined;
  readonly startThread: StartThread;
  /** The module of a worker's thread. */
  readonly entry: URL;
  /** A worker died too often to be started again: better that the whole process is started anew. */
  readonly onGivenUp: () => void;
}

export interface WorkersPlane extends DataPlane {
  /** Tells the workers of a changed log level. */
  setLevel(scope: LogScope, level: LogLevel): void;
  /** Duplicates of all listening sockets of all workers, the caller's to close. */
  sockets(): Promise<readonly PassedSocket[]>;
}

/** How long a worker may take to close its connections at the end. */
const closeMs = 1_000;

const errorText = (error: unknown): ErrorText => {
  const { code, next } = error as { code?: unknown; next?: unknown };
  return {
    code: typeof code === "string" ? code : "WF5004",
    message: error instanceof Error ? error.message : String(error),
    next: typeof next === "string" ? next : undefined,
  };
};

export const createWorkersPlane = (options: WorkersPlaneOptions): WorkersPlane => new Plane(options);

class Plane implements WorkersPlane {
  private readonly options: WorkersPlaneOptions;
  private readonly judge: DataPlane;
  private readonly shared: SharedCounts;
  private readonly connections: ConnectionReader;
  private readonly buckets: SharedBuckets;
  private readonly claims: PortClaims;
  private readonly resolve: ResolveName;
  private readonly demands: DemandDesk | undefined;
  private readonly slots: readonly WorkerSlot[];
  private readonly restarts: Counter;
  /** What is in force, for workers that come later. */
  private readonly committed = new CommittedChanges();
  /** Names of tables that get virtual hosts one by one. */
  private readonly learning = new Set<string>();
  /** What this thread has compiled without complaint and would compile the same way again. */
  private readonly judged = new WeakSet<object>();
  private tail: Promise<void> = Promise.resolve();
  /** Workers that have not been up or down yet: nothing is put in force before. */
  private readonly starting = new Map<number, () => void>();
  private queued = 0;
  private batch = 0;
  private settling: readonly Promise<unknown>[] = [];
  private accepting: boolean;
  private drains = 0;
  /** What was asked of the workers, for those that come later. */
  private stopped: DrainScope | undefined;
  private discouraged: Discouraged | undefined;

  constructor(options: WorkersPlaneOptions) {
    this.options = options;
    const { workers, stats, log, clock, setTimer, node, logFormat, clockOffsetMs, overload } = options;
    const counts = createCountsMemory(workers);
    const connections = createConnectionsMemory(workers);
    const buckets = createBucketsMemory(workers);
    const retries = createRetryMemory();
    this.buckets = openSharedBuckets(buckets, mainLane, { onFull: () => undefined });
    this.connections = createConnectionReader(connections, mainLane);
    this.shared = openSharedCounts(counts, mainLane, (what) =>
      log.warn("no room to share counts: each worker counts its own", { code: "WF5024", what }),
    );
    this.resolve = createSharedNames(options.resolve, clock);
    this.demands =
      options.onDemand &&
      new DemandDesk(options.onDemand, {
        inForce: () => this.inForce(),
        isCluster: (name) => this.committed.has({ kind: "cluster", name }),
      });
    const { inherited } = options;
    this.claims = createPortClaims({ probe: options.probe, inherit: inherited?.take, lanes: workers, setTimer });
    this.accepting = inherited === undefined;
    void inherited?.accepting.then(() => this.accept());
    this.restarts = stats.counter("server.worker_deaths");
    this.judge = createDataPlane({ ...options, resolve: this.resolve, counts: this.shared.counts, serves: false });
    const slot = (lane: number): WorkerSlot =>
      new WorkerSlot({
        ...options,
        lane,
        start: () => ({
          lane,
          counts,
          connections,
          buckets,
          retries,
          node,
          logFormat,
          clockOffsetMs,
          overload,
          levels: options.levels(),
          accepting: this.accepting,
        }),
        joinStats: () => stats.join(),
        onReady: (ready) => this.onReady(ready),
        onMessage: (from, message) => this.onMessage(from, message),
        onGone: (gone, died) => this.onGone(gone, died),
      });
    this.slots = Array.from({ length: workers }, (_, index) => slot(index + 1));
    const first = this.slots.map(({ lane }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.starting.set(lane, resolve);
      return promise;
    });
    this.tail = Promise.all(first).then(() => undefined);
  }

  check(change: ResourceChange): Rejection | undefined {
    const rejection = this.judge.check(change);
    if (rejection === undefined && change.json) this.judged.add(change.json);
    return rejection;
  }

  apply(changes: readonly ResourceChange[]): readonly Rejection[] {
    // Clusters are kept here too; of the others a second look would tell nothing new.
    const open = changes.filter((change) => this.isKept(change) || !this.isJudged(change.json));
    const rejections = this.judge.apply(open);
    const refused = new Set(rejections.map(changeKey));
    const taken = changes.filter((change) => !refused.has(changeKey(change)));
    if (taken.length > 0) this.enqueue(() => this.putInForce(taken));
    return rejections;
  }

  checkAhead(...of: Parameters<Required<DataPlane>["checkAhead"]>): ReturnType<Required<DataPlane>["checkAhead"]> {
    return this.judge.checkAhead?.(...of);
  }

  inForce(): Promise<void> | undefined {
    return this.queued === 0 ? undefined : this.tail;
  }

  clusters(): readonly Cluster[] {
    const clusters = this.judge.clusters();
    // Looking at the hosts takes note of what workers have ejected.
    for (const cluster of clusters) cluster.hosts();
    return clusters;
  }

  listeners(): readonly ListenerState[] {
    const serving = this.slots.filter(({ serving: yes }) => yes).map(({ listeners }) => listeners);
    return mergeListeners(serving, (name) => this.connections.of(name));
  }

  async settled(): Promise<void> {
    await this.tail;
    await Promise.all(this.settling);
  }

  async drain(timeoutMs: number, scope: DrainScope = "all"): Promise<void> {
    if (this.stopped !== "all") this.stopped = scope;
    const id = ++this.drains;
    await this.tail;
    await this.all((slot) => slot.ask({ kind: "drain", id, timeoutMs, scope }, "drained", id));
  }

  discourage(why: Discouraged): void {
    this.discouraged = why;
    for (const slot of this.slots) slot.post({ kind: "discourage", why });
  }

  async close(): Promise<void> {
    for (const slot of this.slots) slot.stop();
    const late = Promise.withResolvers<void>();
    using _timer = this.options.setTimer(late.resolve, closeMs);
    await Promise.race([this.all((slot) => slot.ask({ kind: "close" }, "closed")), late.promise]);
    await this.all((slot) => slot.end());
    await this.judge.close();
  }

  reopenLogs(): void {
    for (const slot of this.slots) slot.post({ kind: "reopenLogs" });
  }

  setLevel(scope: LogScope, level: LogLevel): void {
    for (const slot of this.slots) slot.post({ kind: "level", scope, level });
  }

  async sockets(): Promise<readonly PassedSocket[]> {
    const answers = await this.all((slot) => slot.ask({ kind: "listSockets" }, "sockets"));
    return answers.flatMap((answer) => answer?.sockets ?? []);
  }

  private accept(): void {
    this.accepting = true;
    for (const slot of this.slots) slot.post({ kind: "accept" });
  }

  /** Clusters, and tables that get virtual hosts one by one, now or until now. */
  private isKept({ kind, name, json }: ResourceChange): boolean {
    if (kind !== "route") return kind === "cluster" || kind === "endpoints" || kind === "virtualHost";
    if (json?.vhds === undefined) return this.learning.delete(name);
    this.learning.add(name);
    return true;
  }

  private isJudged(json: object | undefined): boolean {
    return json === undefined || this.judged.has(json);
  }

  private all<T>(work: (slot: WorkerSlot) => Promise<T>): Promise<readonly T[]> {
    return Promise.all(this.slots.map(work));
  }

  /** One thing after the other, in the order they were asked for. */
  private enqueue(work: () => Promise<void>): void {
    this.queued++;
    this.tail = this.tail.then(work).then(() => {
      this.queued--;
    });
  }

  private async putInForce(changes: readonly ResourceChange[]): Promise<void> {
    const refused = await this.twoPhases(
      changes,
      this.slots.filter(({ serving }) => serving),
    );
    for (const change of changes) {
      if (!refused.has(changeKey(change))) this.committed.take(change);
    }
  }

  /** A worker that has just started gets all that is in force, and takes part from then on. */
  private async admit(slot: WorkerSlot): Promise<void> {
    const { stopped, discouraged } = this;
    if (discouraged !== undefined) slot.post({ kind: "discourage", why: discouraged });
    if (stopped !== undefined) slot.post({ kind: "drain", id: ++this.drains, timeoutMs: 0, scope: stopped });
    await this.twoPhases(this.committed.changes(), [slot]);
    slot.serving = slot.alive;
  }

  /** Gives the keys of what was refused. */
  private async twoPhases(
    changes: readonly ResourceChange[],
    slots: readonly WorkerSlot[],
  ): Promise<ReadonlySet<string>> {
    const except = new Set<string>();
    if (changes.length === 0 || slots.length === 0) return except;
    const batch = ++this.batch;
    const text = JSON.stringify(changes);
    const answers = await Promise.all(
      slots.map((slot) => slot.ask({ kind: "prepare", batch, text }, "prepared", batch)),
    );
    for (const rejection of answers.flatMap((answer) => answer?.rejections ?? [])) {
      if (except.has(changeKey(rejection))) continue;
      except.add(changeKey(rejection));
      this.options.log.error("a worker refused what the main thread had taken: none of them uses it", {
        code: "WF5021",
        ...rejection,
      });
    }
    this.settling = slots.map((slot) => slot.answer("settled", batch));
    await Promise.all(
      slots.map((slot) => slot.ask({ kind: "commit", batch, except: [...except] }, "committed", batch)),
    );
    return except;
  }

  private onMessage(slot: WorkerSlot, message: FromWorker): void {
    switch (message.kind) {
      case "claim":
        this.claims.claim(slot.lane, message.claim).then(
          (address) => slot.post({ kind: "granted", id: message.id, address, ...this.copies(slot, message.claim) }),
          (error: unknown) => slot.post({ kind: "refused", id: message.id, error: errorText(error) }),
        );
        return;
      case "release":
        this.claims.release(slot.lane, message.claim);
        return;
      case "resolve":
        this.resolve(message.question).then(
          (addresses) => slot.post({ kind: "resolved", id: message.id, addresses }),
          (error: unknown) => slot.post({ kind: "unresolved", id: message.id, reason: String(error) }),
        );
        return;
      case "demand": {
        const { id, of, wanted } = message;
        const tell = (outcome: AskOutcome): void => slot.post({ kind: "demanded", id, outcome });
        if (this.demands === undefined) tell("refused");
        else this.demands.ask({ lane: slot.lane, id }, of, wanted, tell);
        return;
      }
      case "undemand":
        this.demands?.cancel({ lane: slot.lane, id: message.id });
        return;
      case "log":
        this.options.writeLine(message.line);
        return;
      default:
    }
  }

  private copies(slot: WorkerSlot, claim: Claim): { readonly descriptors: readonly number[] } {
    const copies = this.claims.socketsOf(slot.lane, claim).map((descriptor) => duplicateDescriptor(descriptor));
    return { descriptors: copies.filter((copy) => copy !== undefined) };
  }

  private onReady(slot: WorkerSlot): void {
    const started = this.starting.get(slot.lane);
    this.starting.delete(slot.lane);
    if (started === undefined) {
      this.enqueue(() => this.admit(slot));
      return;
    }
    slot.serving = true;
    started();
  }

  private onGone(slot: WorkerSlot, died: boolean): void {
    if (died) this.restarts.add(1);
    this.starting.get(slot.lane)?.();
    this.starting.delete(slot.lane);
    this.shared.clearLane(slot.lane);
    this.connections.clearLane(slot.lane);
    this.buckets.clearLane(slot.lane);
    this.claims.drop(slot.lane);
    this.demands?.drop(slot.lane);
  }
}

/** One worker as the main thread sees it: the thread, what it answers, and a new one when it dies. */
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { StartThread, Thread } from "@weft/net/process/thread";
import type { JoinedStats } from "../observe/create-stats.ts";
import type { ListenerState } from "../runtime/data-plane.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./protocol.ts";

/** How long a dead worker's place stays empty at first; twice as long each time it dies again. */
export const restartMs = 100;
export const restartMsMax = 10_000;
/** A worker that lived so long died of something new. */
export const steadyMs = 60_000;
/** Deaths in a row, none of them after a steady life, before the place is given up. */
export const deathsMax = 10;
/** Semi-spaces of 2 MiB: a proxy's garbage dies at once, and memory is what a sidecar is counted by. */
const youngGenerationMb = 6;

/** A message that answers another one, by its kind and, for batches and drains, the number. */
type Answer = Extract<
  FromWorker,
  { readonly kind: "prepared" | "committed" | "settled" | "drained" | "closed" | "sockets" }
>;

export interface WorkerSlotOptions {
  readonly lane: number;
  readonly start: () => WorkerStart;
  readonly startThread: StartThread;
  readonly entry: URL;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly joinStats: () => JoinedStats;
  /** It is up, with nothing configured. */
  readonly onReady: (slot: WorkerSlot) => void;
  readonly onMessage: (slot: WorkerSlot, message: FromWorker) => void;
  /** It is gone, with all its connections. */
  readonly onGone: (slot: WorkerSlot, died: boolean) => void;
  /** It died too often. */
  readonly onGivenUp: () => void;
}

const keyOf = (kind: Answer["kind"], batch: number): string => `${kind} ${batch}`;
const answerKey = (message: FromWorker): string | undefined => {
  switch (message.kind) {
    case "prepared":
    case "committed":
    case "settled":
      return keyOf(message.kind, message.batch);
    case "drained":
      return keyOf(message.kind, message.id);
    case "closed":
    case "sockets":
      return keyOf(message.kind, 0);
    default:
      return undefined;
  }
};

export class WorkerSlot {
  readonly lane: number;
  listeners: readonly ListenerState[] = [];
  /** Takes part in batches: it has what the others have. */
  serving = false;
  private readonly options: WorkerSlotOptions;
  private readonly waiting = new Map<string, (answer: FromWorker | undefined) => void>();
  private thread: Thread | undefined;
  private stats: JoinedStats;
  private startedAtMs = 0;
  private deaths = 0;
  private stopping = false;
  private gone = Promise.withResolvers<void>();
  private restart: Disposable | undefined;

  constructor(options: WorkerSlotOptions) {
    this.options = options;
    this.lane = options.lane;
    this.stats = options.joinStats();
    this.launch();
  }

  get alive(): boolean {
    return this.thread !== undefined;
  }
  /** There is a thread, or there will be one again. */
  get expected(): boolean {
    return this.alive || this.restart !== undefined;
  }

  post(message: ToWorker): void {
    this.thread?.post(message);
  }

  /** Sends and waits for that answer; `undefined` when the worker is gone before. */
  ask<K extends Answer["kind"]>(
    message: ToWorker,
    kind: K,
    batch = 0,
  ): Promise<Extract<FromWorker, { readonly kind: K }> | undefined> {
    const answer = this.answer(kind, batch);
    this.post(message);
    return answer;
  }
  answer<K extends Answer["kind"]>(kind: K, batch = 0): Promise<Extract<FromWorker, { readonly kind: K }> | undefined> {
    if (!this.alive) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.waiting.set(keyOf(kind, batch), resolve as (answer: FromWorker | undefined) => void);
    });
  }

  /** No new thread comes after this one. */
  stop(): void {
    this.stopping = true;
    this.restart?.[Symbol.dispose]();
    this.restart = undefined;
  }
  /** Ends the thread. */
  async end(): Promise<void> {
    this.stop();
    if (!this.alive) return;
    const { gone } = this;
    await this.thread?.kill();
    await gone.promise;
  }

  private launch(): void {
    const { options } = this;
    this.restart = undefined;
    this.startedAtMs = options.clock.nowMs();
    this.gone = Promise.withResolvers();
    this.thread = options.startThread({
      entry: options.entry,
      data: options.start(),
      youngGenerationMb,
      onMessage: (message) => this.onMessage(message as FromWorker),
      onExit: (error) => this.onExit(error),
    });
  }

  private onMessage(message: FromWorker): void {
    const key = answerKey(message);
    if (key !== undefined) {
      const resolve = this.waiting.get(key);
      this.waiting.delete(key);
      resolve?.(message);
      return;
    }
    switch (message.kind) {
      case "ready":
        this.options.onReady(this);
        return;
      case "series":
        for (const series of message.series) this.stats.add(series);
        return;
      case "listeners":
        this.listeners = message.states;
        return;
      default:
        this.options.onMessage(this, message);
    }
  }

  private onExit(error: Error | undefined): void {
    const { options } = this;
    this.thread = undefined;
    this.serving = false;
    this.listeners = [];
    this.stats.leave();
    this.stats = options.joinStats();
    for (const resolve of [...this.waiting.values()]) resolve(undefined);
    this.waiting.clear();
    options.onGone(this, !this.stopping);
    this.gone.resolve();
    if (!this.stopping) this.startAgain(error);
  }

  private startAgain(error: Error | undefined): void {
    const { options } = this;
    const livedMs = options.clock.nowMs() - this.startedAtMs;
    this.deaths = livedMs >= steadyMs ? 1 : this.deaths + 1;
    const detail = error?.stack ?? String(error?.message ?? "it ended");
    if (this.deaths > deathsMax) {
      options.log.error("a worker died too often", { code: "WF5023", worker: this.lane, deaths: this.deaths, detail });
      options.onGivenUp();
      return;
    }
    const inMs = Math.min(restartMsMax, restartMs * 2 ** (this.deaths - 1));
    options.log.error("a worker died, its connections with it", { code: "WF5022", worker: this.lane, inMs, detail });
    this.restart = options.setTimer(() => this.launch(), inMs);
  }
}

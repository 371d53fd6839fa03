/** A worker's side of on-demand discovery: the main thread fetches, and tells when what came is in force here too. */
import { ConfigError } from "@weft/core/config-error";
import type { SetTimer } from "@weft/core/world";
import { sourceOf } from "@weft/xds/references";
import { isAds } from "../bootstrap/xds-server.ts";
import type { Counter, Stats } from "../observe/stats.ts";
import type { Asking, AskOutcome, DemandedName } from "../on-demand/demands.ts";
import { demandedNameLengthMax, demandsWaitingMax } from "../on-demand/limits.ts";
import type { DemandedKind, OnDemand } from "../on-demand/on-demand.ts";
import type { FromWorker } from "./protocol.ts";

/** The main thread, where it is not stuck, has told of a wait's end by then. */
export const answerLateMs = 1_000;

/** Names that need not be asked about again, and for how long not. */
const recentMax = 512;
const recentMs = 1_000;

export interface WorkerDemandsTools {
  readonly post: (message: FromWorker) => void;
  readonly stats: Pick<Stats, "counter">;
  readonly setTimer: SetTimer;
}

export interface WorkerDemands {
  readonly onDemand: OnDemand;
  /** Takes what the main thread says of the wait of that number. */
  answer(id: number, outcome: AskOutcome): void;
}

interface Wait {
  readonly name: string;
  readonly tell: (outcome: AskOutcome) => void;
  readonly keeps: boolean;
  timer: Disposable | undefined;
  /** The main thread has found it; this thread has still to find out the addresses of its names. */
  found: boolean;
}

/** Numbers are of both kinds together, so that one answer says enough. */
class Waits {
  readonly byId = new Map<number, Wait>();
  private last = 0;
  add(wait: Wait): number {
    this.byId.set(++this.last, wait);
    return this.last;
  }
}

class AskingMain implements Asking {
  private readonly of: DemandedKind;
  private readonly all: Waits;
  private readonly tools: WorkerDemandsTools;
  private readonly overflow: Counter;
  /** By name, the numbers of those that wait. */
  private readonly names = new Map<string, Set<number>>();
  /** Clusters that are waited for and that this thread can use. */
  private readonly here = new Set<string>();
  /** What the main thread was asked lately. */
  private readonly recent = new Set<string>();

  constructor(of: DemandedKind, all: Waits, tools: WorkerDemandsTools) {
    this.of = of;
    this.all = all;
    this.tools = tools;
    const prefix = of === "cluster" ? "cluster_manager.odcds" : "http.vhds";
    this.overflow = tools.stats.counter(`${prefix}.on_demand_waiting_overflow`);
  }

  ask(wanted: DemandedName, tell: (outcome: AskOutcome) => void): Disposable | undefined {
    const { name, timeoutMs } = wanted;
    if (name.length > demandedNameLengthMax) return undefined;
    if (this.all.byId.size >= demandsWaitingMax) {
      this.overflow.add(1);
      return undefined;
    }
    const wait: Wait = { name, tell, timer: undefined, found: false, keeps: wanted.keeps === true };
    const id = this.all.add(wait);
    const ids = this.names.get(name) ?? new Set<number>();
    this.names.set(name, ids.add(id));
    if (Number.isFinite(timeoutMs))
      wait.timer = this.tools.setTimer(() => {
        this.tools.post({ kind: "undemand", id });
        this.end(id, "timeout");
      }, timeoutMs + answerLateMs);
    this.tools.post({ kind: "demand", id, of: this.of, wanted });
    return {
      [Symbol.dispose]: () => {
        if (!this.forget(id)) return;
        this.tools.post({ kind: "undemand", id });
      },
    };
  }

  awaits(name: string): boolean {
    return this.names.has(name);
  }

  /** The main thread knows. */
  holds(): boolean {
    return false;
  }
  /** For a while, what it said. */
  knows({ name }: Pick<DemandedName, "name">): boolean {
    return this.recent.has(name);
  }

  /** This thread can use it; whoever was told so by the main thread need not wait longer. */
  found(name: string): void {
    const ids = this.names.get(name);
    if (ids === undefined) return;
    this.here.add(name);
    for (const id of [...ids]) if (this.all.byId.get(id)?.found === true) this.end(id, "found");
  }

  answer(id: number, outcome: AskOutcome): boolean {
    const wait = this.all.byId.get(id);
    if (wait === undefined || this.names.get(wait.name)?.has(id) !== true) return false;
    wait.found = outcome === "found";
    if (wait.keeps && (wait.found || outcome === "missing")) this.remember(wait.name);
    if (!wait.found || this.isHere(wait.name)) this.end(id, outcome);
    return true;
  }

  private remember(name: string): void {
    if (this.recent.size >= recentMax) return;
    if (this.recent.size === 0) this.tools.setTimer(() => this.recent.clear(), recentMs);
    this.recent.add(name);
  }

  private isHere(name: string): boolean {
    return this.of === "virtualHost" || this.here.has(name);
  }

  private end(id: number, outcome: AskOutcome): void {
    this.forget(id)?.tell(outcome);
  }

  private forget(id: number): Wait | undefined {
    const wait = this.all.byId.get(id);
    if (wait === undefined) return undefined;
    this.all.byId.delete(id);
    wait.timer?.[Symbol.dispose]();
    const ids = this.names.get(wait.name);
    ids?.delete(id);
    if (ids?.size === 0) {
      this.names.delete(wait.name);
      this.here.delete(wait.name);
    }
    return wait;
  }
}

export const createWorkerDemands = (tools: WorkerDemandsTools): WorkerDemands => {
  const all = new Waits();
  const clusters = new AskingMain("cluster", all, tools);
  const hosts = new AskingMain("virtualHost", all, tools);
  return {
    onDemand: {
      clusters,
      hosts,
      // Whether there is such a server the main thread has judged.
      source: (config, at) => {
        if (isAds(config)) return { kind: "ads" };
        const source = sourceOf(config);
        if (source === undefined) throw new ConfigError(at, "names no source");
        return source;
      },
    },
    answer: (id, outcome) => void (clusters.answer(id, outcome) || hosts.answer(id, outcome)),
  };
};

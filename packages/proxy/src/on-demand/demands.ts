import type { SetTimer } from "@weft/core/world";
import { type ReferenceSource, sourceKey } from "@weft/xds/references";
import type { Counter } from "../observe/stats.ts";
import { demandedNameLengthMax, demandedNamesMax, demandsWaitingMax } from "./limits.ts";

/** How a wait ended: it is here, its giver says there is none, or nobody said anything in time. */
export type DemandOutcome = "found" | "missing" | "timeout";

/** `refused`: too many wait, or are asked for, which is known only where it is asked. */
export type AskOutcome = DemandOutcome | "refused";

/** Those who ask see this of it, on whatever thread they are. */
export interface Asking {
  /** Asks for it and tells its outcome once, unless disposed before. `undefined`: too many wait, or are asked for. */
  ask(wanted: DemandedName, tell: (outcome: AskOutcome) => void): Disposable | undefined;
  /** Somebody waits for that name. */
  awaits(name: string): boolean;
  /** It is known to have come, and not to have been removed. */
  holds(wanted: Pick<DemandedName, "source" | "name">): boolean;
  /** It is here and can be used. */
  found(name: string): void;
}

export interface DemandCounters {
  readonly asked: Counter;
  readonly found: Counter;
  readonly missing: Counter;
  readonly timeout: Counter;
  /** Those that did not wait, and names that were not asked for, because there were too many. */
  readonly waitingOverflow: Counter;
  readonly namesOverflow: Counter;
}

export interface DemandedName {
  readonly source: ReferenceSource;
  readonly name: string;
  /** From the first that asks; those that come later wait for the rest of it. Infinity waits for ever. */
  readonly timeoutMs: number;
}

interface Demand {
  readonly key: string;
  readonly name: string;
  /** It came: it is kept for as long as it is not removed. */
  held: boolean;
  /** It came or will not come, which those that wait hear of in a moment. */
  outcome: DemandOutcome | undefined;
  readonly waiters: Set<(outcome: DemandOutcome) => void>;
  timer: Disposable | undefined;
}

/**
 * Resources of one kind that are subscribed to by name because somebody asked for them, and who waits for them. Nobody
 * is told anything before the call that it follows from has ended.
 */
export class Demands implements Asking {
  private readonly setTimer: SetTimer;
  private readonly counters: DemandCounters;
  /** By source, then by name, the oldest first. */
  private readonly bySource = new Map<string, Map<string, Demand>>();
  private names = 0;
  private waiting = 0;
  private subscribe: ((key: string) => void) | undefined;
  private readonly changed = new Set<string>();

  constructor(setTimer: SetTimer, counters: DemandCounters) {
    this.setTimer = setTimer;
    this.counters = counters;
  }

  /** `subscribe` is told of every source whose names have changed. */
  attach(subscribe: (key: string) => void): void {
    this.subscribe = subscribe;
    for (const key of this.bySource.keys()) this.change(key);
  }

  /** Asks for it and tells its outcome once, unless disposed before. `undefined`: too many wait, or are asked for. */
  ask(wanted: DemandedName, tell: (outcome: DemandOutcome) => void): Disposable | undefined {
    if (this.waiting >= demandsWaitingMax) {
      this.counters.waitingOverflow.add(1);
      return undefined;
    }
    const demand = this.demand(sourceKey(wanted.source), wanted.name);
    if (demand === undefined) {
      this.counters.namesOverflow.add(1);
      return undefined;
    }
    const waiter = (outcome: DemandOutcome): void => tell(outcome);
    demand.waiters.add(waiter);
    this.waiting++;
    this.counters.asked.add(1);
    if (demand.timer === undefined && Number.isFinite(wanted.timeoutMs))
      demand.timer = this.setTimer(() => this.settle(demand, "timeout"), wanted.timeoutMs);
    return {
      [Symbol.dispose]: () => {
        if (demand.waiters.delete(waiter)) this.waiting--;
        if (demand.waiters.size === 0) this.stopTimer(demand);
      },
    };
  }

  /** Somebody waits for that name. */
  awaits(name: string): boolean {
    if (this.waiting === 0) return false;
    for (const demands of this.bySource.values()) if ((demands.get(name)?.waiters.size ?? 0) > 0) return true;
    return false;
  }

  /** It came, and was not removed. */
  holds({ source, name }: Pick<DemandedName, "source" | "name">): boolean {
    return this.bySource.get(sourceKey(source))?.get(name)?.held === true;
  }

  /** What is subscribed to of a source. */
  namesOf(key: string): ReadonlySet<string> {
    return new Set(this.bySource.get(key)?.keys());
  }
  sources(): readonly string[] {
    return [...this.bySource.keys()];
  }

  /** It is here and can be used. */
  found(name: string): void {
    if (this.names === 0) return;
    for (const demands of this.bySource.values()) {
      const demand = demands.get(name);
      if (demand === undefined) continue;
      demand.held = true;
      this.settleLater(demand, "found");
    }
  }

  /** Its giver says that there is no such thing, or none any more. Who asks for it later asks anew. */
  missing(key: string, name: string): void {
    const demand = this.bySource.get(key)?.get(name);
    if (demand === undefined) return;
    this.forget(demand);
    this.settleLater(demand, "missing");
  }

  /** These are here already, and are to be kept up to date; as many as there is room for. */
  adopt(key: string, names: Iterable<string>): void {
    for (const name of names) {
      const demand = this.demand(key, name);
      if (demand) demand.held = true;
    }
  }

  /** Nobody is to ask that source any more, for such names. Gives the names that it was asked for. */
  drop(key: string, which: (name: string) => boolean = () => true): readonly string[] {
    const demands = [...(this.bySource.get(key)?.values() ?? [])].filter(({ name }) => which(name));
    for (const { name } of demands) this.missing(key, name);
    return demands.map(({ name }) => name);
  }

  private demand(key: string, name: string): Demand | undefined {
    const known = this.bySource.get(key)?.get(name);
    if (known) return known;
    if (name.length > demandedNameLengthMax) return undefined;
    if (this.names >= demandedNamesMax && !this.evict()) return undefined;
    const made: Demand = { key, name, held: false, outcome: undefined, waiters: new Set(), timer: undefined };
    const demands = this.bySource.get(key) ?? new Map<string, Demand>();
    this.bySource.set(key, demands.set(name, made));
    this.names++;
    this.change(key);
    return made;
  }

  /** Gives up the oldest name that did not come and that nobody waits for. */
  private evict(): boolean {
    for (const demands of this.bySource.values())
      for (const demand of demands.values()) {
        if (demand.held || demand.waiters.size > 0) continue;
        this.forget(demand);
        return true;
      }
    return false;
  }

  private forget({ key, name }: Demand): void {
    const demands = this.bySource.get(key);
    if (!demands?.delete(name)) return;
    this.names--;
    if (demands.size === 0) this.bySource.delete(key);
    this.change(key);
  }

  private change(key: string): void {
    if (this.subscribe === undefined) return;
    if (this.changed.size === 0)
      queueMicrotask(() => {
        const keys = [...this.changed];
        this.changed.clear();
        for (const each of keys) this.subscribe?.(each);
      });
    this.changed.add(key);
  }

  /** What came with it in one response is put in force first. */
  private settleLater(demand: Demand, outcome: DemandOutcome): void {
    if (demand.outcome === undefined) queueMicrotask(() => this.settle(demand, demand.outcome ?? outcome));
    demand.outcome = outcome;
  }

  private settle(demand: Demand, outcome: DemandOutcome): void {
    demand.outcome = undefined;
    this.stopTimer(demand);
    const waiters = [...demand.waiters];
    demand.waiters.clear();
    this.waiting -= waiters.length;
    if (waiters.length > 0) this.counters[outcome].add(waiters.length);
    for (const tell of waiters) tell(outcome);
  }

  private stopTimer(demand: Demand): void {
    demand.timer?.[Symbol.dispose]();
    demand.timer = undefined;
  }
}

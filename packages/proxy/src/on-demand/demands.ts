import type { SetTimer } from "@weft/core/world";
import { type ReferenceSource, sourceKey } from "@weft/xds/references";
import type { Counter } from "../observe/stats.ts";
import { absentNamesMax, demandedNameLengthMax, demandedNamesMax, demandsWaitingMax } from "./limits.ts";

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
  /** The same, or it is known not to exist; for names that are kept. */
  knows(wanted: Pick<DemandedName, "source" | "name">): boolean;
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
  /** Where there is none, it is not asked for anew by the next: whoever gives it is to tell when there is. */
  readonly keeps?: boolean;
}

/** What keeps the names that came, and knows some of before. Sources are given by their keys. */
export interface DemandCache {
  /** It is asked for and was not here. */
  wanted(source: string, name: string): void;
  /** It is here; `isNew` where it was not before. */
  found(source: string, name: string, isNew: boolean): void;
  /** It is subscribed to no more. */
  gone(source: string, name: string): void;
  /** Nobody said anything in time: the last chance to find it before those that wait are told. */
  late(source: string, name: string): void;
  /** It is waited for, and its source is away. */
  awaited(source: string, name: string): void;
  /** Gives up something that is here and not used; false where there is no such thing. */
  makeRoom(): boolean;
}

interface Demand {
  readonly key: string;
  readonly name: string;
  /** It came: it is kept for as long as it is not removed. */
  held: boolean;
  keeps: boolean;
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
  private readonly namesMax: number;
  private cache: DemandCache | undefined;
  /** By source, then by name, the oldest first. */
  private readonly bySource = new Map<string, Map<string, Demand>>();
  private names = 0;
  private waiting = 0;
  private subscribe: ((key: string) => void) | undefined;
  private readonly changed = new Set<string>();
  /** The oldest first. */
  private readonly absent = new Set<Demand>();
  private heard: (() => void) | undefined;

  constructor(setTimer: SetTimer, counters: DemandCounters, namesMax = demandedNamesMax) {
    this.setTimer = setTimer;
    this.counters = counters;
    this.namesMax = namesMax;
  }

  /** What came is kept by that, and given up as it says. */
  keepIn(cache: DemandCache): void {
    this.cache = cache;
  }

  /** `heard` is called whenever anything can be used, asked for or not. */
  onFound(heard: () => void): void {
    this.heard = heard;
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
    demand.keeps ||= wanted.keeps === true;
    const waiter = (outcome: DemandOutcome): void => tell(outcome);
    if (!demand.held && demand.waiters.size === 0) this.cache?.wanted(demand.key, demand.name);
    demand.waiters.add(waiter);
    this.waiting++;
    this.counters.asked.add(1);
    if (demand.timer === undefined && Number.isFinite(wanted.timeoutMs))
      demand.timer = this.setTimer(() => this.expire(demand), wanted.timeoutMs);
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

  /** It came, or its giver said that there is none, and would have said otherwise since. */
  knows({ source, name }: Pick<DemandedName, "source" | "name">): boolean {
    const demand = this.bySource.get(sourceKey(source))?.get(name);
    return demand !== undefined && (demand.held || this.absent.has(demand));
  }

  /** It is subscribed to. */
  has(key: string, name: string): boolean {
    return this.bySource.get(key)?.has(name) === true;
  }

  /** Gives up the subscription. Nobody is told: who asks for it later asks anew. */
  release(key: string, name: string): void {
    const demand = this.bySource.get(key)?.get(name);
    if (demand !== undefined && demand.waiters.size === 0) this.forget(demand);
  }

  /** That source is away: those that wait for what it gives get what was known of before. */
  fallBack(key: string): void {
    if (this.waiting === 0) return;
    for (const { name, held, waiters } of [...(this.bySource.get(key)?.values() ?? [])])
      if (!held && waiters.size > 0) this.cache?.awaited(key, name);
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
    this.heard?.();
    if (this.names === 0) return;
    for (const demands of this.bySource.values()) {
      const demand = demands.get(name);
      if (demand === undefined) continue;
      this.absent.delete(demand);
      this.hold(demand);
      this.settleLater(demand, "found");
    }
  }

  /** Its giver says that there is no such thing, or none any more. Who asks for it later asks anew. */
  missing(key: string, name: string): void {
    const demand = this.bySource.get(key)?.get(name);
    if (demand === undefined) return;
    if (demand.keeps) this.keepAbsent(demand);
    else this.forget(demand);
    this.settleLater(demand, "missing");
  }

  private keepAbsent(demand: Demand): void {
    demand.held = false;
    this.cache?.gone(demand.key, demand.name);
    this.absent.add(demand);
    for (const oldest of this.absent) {
      if (this.absent.size <= absentNamesMax) return;
      if (oldest.waiters.size === 0) this.forget(oldest);
    }
  }

  /** These are here already, and are to be kept up to date; as many as there is room for. */
  adopt(key: string, names: Iterable<string>): void {
    for (const name of names) {
      const demand = this.demand(key, name);
      if (demand) this.hold(demand);
    }
  }

  /** Nobody is to ask that source any more, for such names. Gives the names that it was asked for. */
  drop(key: string, which: (name: string) => boolean = () => true): readonly string[] {
    const demands = [...(this.bySource.get(key)?.values() ?? [])].filter(({ name }) => which(name));
    for (const demand of demands) {
      this.forget(demand);
      this.settleLater(demand, "missing");
    }
    return demands.map(({ name }) => name);
  }

  private demand(key: string, name: string): Demand | undefined {
    const known = this.bySource.get(key)?.get(name);
    if (known) return known;
    if (name.length > demandedNameLengthMax) return undefined;
    if (this.names >= this.namesMax && !this.evict() && this.cache?.makeRoom() !== true) return undefined;
    const state = { held: false, keeps: false, outcome: undefined };
    const made: Demand = { key, name, ...state, waiters: new Set(), timer: undefined };
    const demands = this.bySource.get(key) ?? new Map<string, Demand>();
    this.bySource.set(key, demands.set(name, made));
    this.names++;
    this.change(key);
    return made;
  }

  private hold(demand: Demand): void {
    const isNew = !demand.held;
    demand.held = true;
    this.cache?.found(demand.key, demand.name, isNew);
  }

  private expire(demand: Demand): void {
    if (!demand.held) this.cache?.late(demand.key, demand.name);
    // What was found in the end is told when what came with it is in force.
    if (demand.outcome === undefined) this.settle(demand, "timeout");
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

  private forget(demand: Demand): void {
    const { key, name } = demand;
    this.absent.delete(demand);
    const demands = this.bySource.get(key);
    if (!demands?.delete(name)) return;
    this.names--;
    this.cache?.gone(key, name);
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

/** The main thread's answers to workers whose requests wait for something that is to be fetched. */
import type { AskOutcome, DemandedName } from "../on-demand/demands.ts";
import type { DemandedKind, OnDemandDesk } from "../on-demand/on-demand.ts";

/** Which wait of which worker. */
export interface AskerKey {
  readonly lane: number;
  readonly id: number;
}

export interface DemandDeskTools {
  /** Resolves when all that was taken so far is in force in every worker; `undefined` when it is. */
  readonly inForce: () => Promise<void> | undefined;
  /** A cluster of that name is in force in every worker. */
  readonly isCluster: (name: string) => boolean;
}

/**
 * Asks for what workers ask for, by the same bounds for all of them, and tells each when what was found is in force in
 * all. A worker has no more waits here than it may have; those of a dead one are given up.
 */
export class DemandDesk {
  private readonly onDemand: OnDemandDesk;
  private readonly tools: DemandDeskTools;
  /** By worker, then by the number of the wait. Empty until it is asked for. */
  private readonly waits = new Map<number, Map<number, Disposable | undefined>>();

  constructor(onDemand: OnDemandDesk, tools: DemandDeskTools) {
    this.onDemand = onDemand;
    this.tools = tools;
  }

  /** Tells the outcome once, unless the wait is given up before. */
  ask(key: AskerKey, of: DemandedKind, wanted: DemandedName, tell: (outcome: AskOutcome) => void): void {
    const waits = this.waits.get(key.lane) ?? new Map<number, Disposable | undefined>();
    this.waits.set(key.lane, waits.set(key.id, undefined));
    // What the worker misses may just be on its way to it.
    this.afterForce(key, waits, () => this.askNow(key, of, wanted, tell));
  }

  cancel({ lane, id }: AskerKey): void {
    const waits = this.waits.get(lane);
    waits?.get(id)?.[Symbol.dispose]();
    waits?.delete(id);
  }

  /** The worker is gone. */
  drop(lane: number): void {
    for (const wait of this.waits.get(lane)?.values() ?? []) wait?.[Symbol.dispose]();
    this.waits.delete(lane);
  }

  private askNow(key: AskerKey, of: DemandedKind, wanted: DemandedName, tell: (outcome: AskOutcome) => void): void {
    const waits = this.waits.get(key.lane);
    const end = (outcome: AskOutcome): void => {
      waits?.delete(key.id);
      tell(outcome);
    };
    const demands = of === "cluster" ? this.onDemand.clusters : this.onDemand.hosts;
    if (of === "cluster" ? this.tools.isCluster(wanted.name) : demands.holds(wanted)) {
      end("found");
      return;
    }
    if (of === "virtualHost" && wanted.keeps && demands.knows(wanted)) {
      end("missing");
      return;
    }
    const asked = demands.ask(wanted, (outcome) => {
      if (waits !== undefined) this.afterForce(key, waits, () => end(outcome));
    });
    if (asked === undefined) end("refused");
    else waits?.set(key.id, asked);
  }

  /** At once, or when all is in force, unless the wait was given up by then. */
  private afterForce({ lane, id }: AskerKey, waits: ReadonlyMap<number, unknown>, goOn: () => void): void {
    const inForce = this.tools.inForce();
    if (inForce === undefined) goOn();
    else
      void inForce.then(() => {
        if (this.waits.get(lane) === waits && waits.has(id)) goOn();
      });
  }
}

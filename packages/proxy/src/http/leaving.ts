/** Telling clients to leave with their answers while new ones are still accepted. */
import type { Clock, Random } from "@weft/core/world";
import type { DownstreamInfo } from "./exchange.ts";

/** Which listeners: those of inbound traffic, or every one. */
export type DrainScope = "inbound" | "all";

export const covers = (scope: DrainScope, direction: DownstreamInfo["direction"]): boolean =>
  scope === "all" || direction === "inbound";

/** Why clients are told to leave; plain data, all of it each time it changes. */
export interface Discouraged {
  /** Every answer says so, but at listeners whose drain type is MODIFY_ONLY. */
  readonly healthCheckFailed: boolean;
  /** Ever more answers say so, all of them once that time is over, at listeners of any drain type. */
  readonly draining: { readonly scope: DrainScope; readonly overMs: number } | undefined;
}

export interface LeavingTools {
  readonly clock: Pick<Clock, "nowMs">;
  readonly random: Random;
}

/** What the requests of a listener ask. Asking costs one comparison while nobody is to leave. */
export class Leaving {
  private some = false;
  private every = false;
  private sinceMs = 0;
  private overMs = 0;
  private readonly tools: LeavingTools;

  constructor(tools: LeavingTools) {
    this.tools = tools;
  }

  /** The connection is to end after this answer. */
  get now(): boolean {
    return this.some && this.drawn();
  }

  /** With `overMs` a drain that began at `sinceMs`. */
  set(every: boolean, sinceMs: number, overMs: number | undefined): void {
    this.every = every;
    this.some = every || overMs !== undefined;
    this.sinceMs = sinceMs;
    this.overMs = overMs ?? 0;
  }

  private drawn(): boolean {
    if (this.every) return true;
    const { clock, random } = this.tools;
    const elapsedMs = clock.nowMs() - this.sinceMs;
    return elapsedMs >= this.overMs || random() * this.overMs < elapsedMs;
  }
}

export interface LeavingTable {
  /** What the listeners of that kind ask. */
  of(direction: DownstreamInfo["direction"], modifyOnly: boolean): Leaving;
  put(why: Discouraged): void;
}

export const createLeavingTable = (tools: LeavingTools): LeavingTable => {
  const kinds = [true, false].flatMap((inbound) =>
    [true, false].map((modifyOnly) => ({ inbound, modifyOnly, leaving: new Leaving(tools) })),
  );
  const sinceMs: Record<DrainScope, number | undefined> = { inbound: undefined, all: undefined };
  return {
    of: (direction, modifyOnly) => {
      const inbound = direction === "inbound";
      const kind = kinds.find((each) => each.inbound === inbound && each.modifyOnly === modifyOnly);
      if (kind === undefined) throw new TypeError("there are four kinds");
      return kind.leaving;
    },
    put: ({ healthCheckFailed, draining }) => {
      if (draining !== undefined) sinceMs[draining.scope] ??= tools.clock.nowMs();
      for (const { inbound, modifyOnly, leaving } of kinds) {
        const drains = draining !== undefined && covers(draining.scope, inbound ? "inbound" : "outbound");
        const began = (inbound ? sinceMs.inbound : undefined) ?? sinceMs.all ?? 0;
        leaving.set(healthCheckFailed && !modifyOnly, began, drains ? draining.overMs : undefined);
      }
    },
  };
};

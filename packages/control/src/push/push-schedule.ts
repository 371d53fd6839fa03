/**
 * When changes are pushed. What concerns more than endpoints settles first: it waits until no such change came for a
 * moment, though not for ever, and until the push before it is with all proxies. Endpoints alone wait only for the push
 * of endpoints before them, so that pushing takes two thirds of the time at most: the rest is for the answers, and whoever
 * comes; a push to all that goes on meanwhile does not hold them up.
 */
import type { Clock, SetTimer } from "@weft/core/world";

/** A change waits until none came for this long, but never longer than the second. */
const quietMs = 10;
const waitMaxMs = 100;
/** It also waits until the last push to all is as long ago as it took: where services come without end, each of them is long. */
const settledGapMaxMs = 1_000;
/** Endpoints wait only until the last push of endpoints is this part of its time ago. */
const gapShare = 0.5;
const gapMinMs = 2;
const gapMaxMs = 100;

/**
 * What changed: endpoints and nothing else; what is some workloads' own too, which goes to all and need not settle; or
 * anything.
 */
export type ChangeScope = "endpoints" | "own" | "anything";

export interface DuePush {
  /** When the first change was noticed that it carries. */
  readonly changedAtMs: number;
  /** Something else than endpoints changed. */
  readonly all: boolean;
}

export interface PushSchedule {
  /** May push at once. */
  changed(scope: ChangeScope): void;
  /** Whether something waits. */
  readonly waits: boolean;
  /** Whether something waits, or a push to all goes on. */
  readonly pending: boolean;
}

export interface PushScheduleOptions {
  readonly clock: Pick<Clock, "nowMs">;
  readonly setTimer: SetTimer;
  /** `done` is to be called when it is with everybody: before it returns, or later where it goes to all. */
  readonly push: (due: DuePush, done: () => void) => void;
}

const never = { endMs: Number.NEGATIVE_INFINITY, tookMs: 0 };

export const createPushSchedule = ({ clock, setTimer, push }: PushScheduleOptions): PushSchedule => {
  let firstChangeMs: number | undefined;
  let all = false;
  let timer: Disposable | undefined;
  let lastEndpoints = never;
  let lastToAll = never;
  let goesToAll = false;
  /** The first change that waits for the push to all that goes on. */
  let behindMs: number | undefined;

  const run = (): void => {
    timer = undefined;
    const startedMs = clock.nowMs();
    const due = { changedAtMs: firstChangeMs ?? startedMs, all };
    firstChangeMs = undefined;
    all = false;
    if (due.all) goesToAll = true;
    push(due, () => ended(due, startedMs));
  };

  const ended = (due: DuePush, startedMs: number): void => {
    const endMs = clock.nowMs();
    const push = { endMs, tookMs: endMs - startedMs };
    if (!due.all) {
      lastEndpoints = push;
      return;
    }
    lastToAll = push;
    goesToAll = false;
    if (behindMs === undefined) return;
    firstChangeMs = Math.min(behindMs, firstChangeMs ?? behindMs);
    behindMs = undefined;
    all = true;
    arm(delayMs(endMs, true));
  };

  const arm = (delay: number): void => {
    timer?.[Symbol.dispose]();
    timer = setTimer(run, delay);
  };

  const delayMs = (nowMs: number, settles: boolean): number => {
    const firstMs = firstChangeMs ?? nowMs;
    if (settles) {
      const restMs = lastToAll.endMs + Math.min(settledGapMaxMs, lastToAll.tookMs) - nowMs;
      return Math.max(0, restMs, Math.min(quietMs, firstMs + waitMaxMs - nowMs));
    }
    const gapMs = Math.min(gapMaxMs, Math.max(gapMinMs, lastEndpoints.tookMs * gapShare));
    return Math.max(0, lastEndpoints.endMs + gapMs - nowMs);
  };

  return {
    changed(scope) {
      const nowMs = clock.nowMs();
      if (goesToAll && scope !== "endpoints") {
        behindMs ??= nowMs;
        return;
      }
      firstChangeMs ??= nowMs;
      // More endpoints do not put off what waits already.
      if (timer !== undefined && scope === "endpoints") return;
      timer?.[Symbol.dispose]();
      timer = undefined;
      const delay = delayMs(nowMs, scope === "anything" || all);
      all ||= scope !== "endpoints";
      if (delay === 0 && scope !== "anything") run();
      else arm(delay);
    },
    get waits() {
      return timer !== undefined || behindMs !== undefined;
    },
    get pending() {
      return timer !== undefined || goesToAll;
    },
  };
};

/**
 * When changes are pushed. What concerns more than endpoints settles first: it waits until no such change came for a
 * moment, though not for ever. Endpoints alone wait only for the push before them, so that pushing takes two thirds of
 * the time at most: the rest is for the answers, and whoever comes.
 */
import type { Clock, SetTimer } from "@weft/core/world";

/** A change waits until none came for this long, but never longer than the second. */
const quietMs = 10;
const waitMaxMs = 100;
/** It also waits until the last push is as long ago as it took: where services come without end, each of them is long. */
const settledGapMaxMs = 1_000;
/** Endpoints wait only until the last push is this part of its time ago. */
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
  readonly pending: boolean;
}

export interface PushScheduleOptions {
  readonly clock: Pick<Clock, "nowMs">;
  readonly setTimer: SetTimer;
  readonly push: (due: DuePush) => void;
}

export const createPushSchedule = ({ clock, setTimer, push }: PushScheduleOptions): PushSchedule => {
  let firstChangeMs: number | undefined;
  let all = false;
  let timer: Disposable | undefined;
  let lastPushMs = Number.NEGATIVE_INFINITY;
  let lastTookMs = 0;

  const run = (): void => {
    timer = undefined;
    const startedMs = clock.nowMs();
    const due = { changedAtMs: firstChangeMs ?? startedMs, all };
    firstChangeMs = undefined;
    all = false;
    push(due);
    lastPushMs = clock.nowMs();
    lastTookMs = lastPushMs - startedMs;
  };

  const delayMs = (nowMs: number, settles: boolean): number => {
    const firstMs = firstChangeMs ?? nowMs;
    if (settles) {
      const restMs = lastPushMs + Math.min(settledGapMaxMs, lastTookMs) - nowMs;
      return Math.max(0, restMs, Math.min(quietMs, firstMs + waitMaxMs - nowMs));
    }
    const gapMs = Math.min(gapMaxMs, Math.max(gapMinMs, lastTookMs * gapShare));
    return Math.max(0, lastPushMs + gapMs - nowMs);
  };

  return {
    changed(scope) {
      const nowMs = clock.nowMs();
      firstChangeMs ??= nowMs;
      // More endpoints do not put off what waits already.
      if (timer !== undefined && scope === "endpoints") return;
      timer?.[Symbol.dispose]();
      timer = undefined;
      const delay = delayMs(nowMs, scope === "anything" || all);
      all ||= scope !== "endpoints";
      if (delay === 0 && scope !== "anything") run();
      else timer = setTimer(run, delay);
    },
    get pending() {
      return timer !== undefined;
    },
  };
};

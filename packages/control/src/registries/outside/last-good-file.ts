/** Keeps a source's last good view on disk: written whole, never often, and never the reason to stop. */
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { makeFolder, readIfThere, writeAtomic } from "@weft/net/files/files";
import type { HeldInstances, Restored } from "./held-instances.ts";
import { parseLastGood, printLastGood } from "./last-good.ts";

/** A change after a quiet time is written so soon; more of them come with it. */
export const writeSoonMs = 100;
/** Between two writes. */
export const writeEveryMs = 3_000;
/** Large views are written less often: at most this share of the time goes into it. */
export const writingShare = 0.05;

export interface LastGoodFile extends Disposable {
  /** `undefined` when there is none that can be used. */
  readonly restored: Restored | undefined;
  /** Something changed that is worth keeping. */
  changed(): void;
  /** Why the file could not be read or written last; "" where it could. */
  problem(): string;
}

export interface LastGoodOptions {
  readonly folder: string;
  /** The file's name: that of the source. */
  readonly name: string;
  readonly registry: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** `heldInstances` is asked for when there is something to write, first after this has returned. */
export const openLastGoodFile = (
  options: LastGoodOptions,
  heldInstances: () => Pick<HeldInstances, "kept" | "state">,
): LastGoodFile => {
  const { folder, name, registry, clock, setTimer, log } = options;
  const path = `${folder}/${name.replace(/[^a-z0-9.-]/gi, "_")}.json`;
  let problem = "";
  let timer: Disposable | undefined;
  let tookMs = 0;
  let wroteMs = Number.NEGATIVE_INFINITY;

  const failed = (text: string): void => {
    if (problem === text) return;
    problem = text;
    log.warn("WF2115 the last good view of a registry cannot be kept or used", { registry: name, path, problem });
  };
  const read = (): Restored | undefined => {
    try {
      const text = readIfThere(path);
      if (text === undefined) return undefined;
      const found = parseLastGood(text, registry, clock.wallMs());
      if (found.kind === "read") return found.restored;
      if (found.kind === "corrupt") failed(`it is damaged and not used: ${found.problem}`);
    } catch (error) {
      failed(`it cannot be read: ${(error as Error).message}`);
    }
    return undefined;
  };
  const write = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    const startedMs = clock.nowMs();
    try {
      makeFolder(folder);
      writeAtomic(path, printLastGood(registry, heldInstances().kept(startedMs), clock.wallMs()));
      problem = "";
    } catch (error) {
      failed(`it cannot be written: ${(error as Error).message}`);
      arm(retryMs);
    }
    wroteMs = clock.nowMs();
    tookMs = wroteMs - startedMs;
  };
  const arm = (delayMs: number): void => {
    timer ??= setTimer(write, delayMs);
  };
  return {
    restored: read(),
    changed: () => {
      const nextMs = wroteMs + Math.max(writeEveryMs, tookMs / writingShare);
      arm(Math.max(writeSoonMs, nextMs - clock.nowMs()));
    },
    problem: () => problem,
    [Symbol.dispose]: () => {
      if (timer || heldInstances().state() === "live") write();
      timer?.[Symbol.dispose]();
    },
  };
};

const retryMs = 30_000;

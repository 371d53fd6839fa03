/**
 * What is to stand in a registry outside, kept there: written when it comes or changes, renewed, taken out when it goes,
 * written again when it is missing there or the connection was lost. What nobody renews goes by its time-to-live, so
 * nothing is taken out when the control plane stops: whoever starts again in time goes on.
 */
import { sameValue } from "@weft/core/equal";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { exponentialBackoff } from "@weft/xds/backoff";
import {
  type OpenWriter,
  WriteRefusal,
  type WriteSession,
  type WrittenInstance,
  writtenTtlMs,
} from "./write-session.ts";

/** Calls to a registry that run at once. */
export const writesAtOnceMax = 8;
/** Records of one target; further ones are left out and reported. */
export const writtenInstancesMax = 20_000;
/** Refused records remembered by name. */
export const refusalsMax = 1_000;
export const renewMs = writtenTtlMs / 3;

const retryLimits = { baseMs: 250, maxMs: 10_000 };

export type WriteEvent = "put" | "removed" | "renewed" | "refused" | "lost";

export interface WriteBackStatus {
  readonly state: "starting" | "live" | "lost";
  /** Why it was lost last; "" while it is not. */
  readonly reason: string;
  readonly sinceWallMs: number;
  /** Records that are to stand there. */
  readonly wanted: number;
  /** Of those, the ones that do, as far as is known. */
  readonly written: number;
  /** By key, with the registry's words; tried again with each renewal. */
  readonly refused: ReadonlyMap<string, string>;
  /** Too many for this target. */
  readonly left: number;
  readonly events: ReadonlyMap<WriteEvent, number>;
}

export interface WriteBack extends Disposable {
  put(instance: WrittenInstance): void;
  remove(key: string): void;
  status(): WriteBackStatus;
}

export interface WriteBackOptions {
  /** For people: the target's name. */
  readonly name: string;
  readonly mesh: string;
  readonly open: OpenWriter;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

/** Connects by itself, and never throws for what the registry does. */
export const openWriteBack = (options: WriteBackOptions): WriteBack => {
  const { name, open, mesh, clock, setTimer, random, log } = options;
  const wanted = new Map<string, WrittenInstance>();
  const left = new Set<string>();
  /** As they were put last, and may stand there; also over a lost session. */
  const there = new Map<string, WrittenInstance>();
  /** Of `there`, those that this session put. */
  const sure = new Set<string>();
  const due = new Set<string>();
  const busy = new Set<string>();
  const refused = new Map<string, string>();
  const events = new Map<WriteEvent, number>();
  const backoff = exponentialBackoff(retryLimits, random);
  let state: WriteBackStatus["state"] = "starting";
  let reason = "";
  let sinceWallMs = clock.wallMs();
  let session: WriteSession | undefined;
  /** Told apart from those before it, whose late answers mean nothing. */
  let turn = 0;
  let timer: Disposable | undefined;
  let disposed = false;

  const count = (event: WriteEvent, by = 1): void => void events.set(event, (events.get(event) ?? 0) + by);
  const enter = (next: WriteBackStatus["state"], why: string): void => {
    if (next !== state) sinceWallMs = clock.wallMs();
    if (next === "lost" && why !== reason)
      log.warn("WF2120 a registry cannot be written to; what stands there goes when its time ends", {
        registry: name,
        reason: why,
      });
    else if (next === "live") log.info("a registry is written to", { registry: name, instances: wanted.size });
    state = next;
    reason = why;
  };
  const arm = (callback: () => void, delayMs: number): void => {
    timer?.[Symbol.dispose]();
    timer = setTimer(callback, delayMs);
  };

  const connect = (): void => {
    const own = ++turn;
    const ended = (why: string): void => lose(own, why);
    open({ ended, mesh, clock, setTimer, random, log }).then(
      (opened) => {
        if (disposed || own !== turn) {
          opened[Symbol.dispose]();
          return;
        }
        session = opened;
        backoff.reset();
        enter("live", "");
        for (const key of [...wanted.keys(), ...there.keys()]) due.add(key);
        arm(renew, renewMs);
        write();
      },
      (error: unknown) => lose(own, wordsOf(error)),
    );
  };
  const lose = (own: number, why: string): void => {
    if (disposed || own !== turn) return;
    turn++;
    session?.[Symbol.dispose]();
    session = undefined;
    sure.clear();
    busy.clear();
    count("lost");
    enter("lost", why);
    arm(connect, backoff.next());
  };

  const write = (): void => {
    for (const key of due) {
      if (!session || busy.size >= writesAtOnceMax) return;
      if (busy.has(key)) continue;
      due.delete(key);
      busy.add(key);
      void writeOne(session, turn, key);
    }
  };
  const writeOne = async (at: WriteSession, own: number, key: string): Promise<void> => {
    try {
      await reconcile(at, own, key);
    } catch (error) {
      if (own !== turn) return;
      if (!(error instanceof WriteRefusal)) {
        due.add(key);
        lose(own, wordsOf(error));
        return;
      }
      count("refused");
      if (refused.has(key) || refused.size < refusalsMax) refused.set(key, wordsOf(error));
    }
    if (own !== turn) return;
    busy.delete(key);
    write();
  };
  /** One step for a key; another follows where it changed meanwhile. */
  const reconcile = async (at: WriteSession, own: number, key: string): Promise<void> => {
    const want = wanted.get(key);
    const before = there.get(key);
    if (want) {
      if (before && sure.has(key) && sameValue(before, want)) return;
      // Where the answer is lost, it may stand there all the same.
      there.set(key, want);
      await at.put(want);
      if (own !== turn) return;
      sure.add(key);
      count("put");
    } else if (before) {
      await at.remove(before);
      if (own !== turn) return;
      there.delete(key);
      sure.delete(key);
      count("removed");
    }
    refused.delete(key);
  };

  const renew = (): void => {
    const own = turn;
    const at = session;
    if (!at) return;
    const asked = new Map([...there].filter(([key]) => sure.has(key) && !busy.has(key)));
    at.renew(asked).then(
      (missing) => {
        if (own !== turn || disposed) return;
        count("renewed");
        for (const key of missing) {
          // What was put or taken out since it was asked for is not what is missing.
          if (there.get(key) !== asked.get(key) || busy.has(key)) continue;
          sure.delete(key);
          due.add(key);
        }
        for (const key of refused.keys()) due.add(key);
        write();
        arm(renew, renewMs);
      },
      (error: unknown) => lose(own, wordsOf(error)),
    );
  };

  const admit = (key: string): void => {
    due.add(key);
    write();
  };
  timer = setTimer(connect, 0);
  return {
    put(instance) {
      const { key } = instance;
      if (!wanted.has(key) && wanted.size >= writtenInstancesMax) {
        left.add(key);
        return;
      }
      wanted.set(key, instance);
      admit(key);
    },
    remove(key) {
      left.delete(key);
      if (wanted.delete(key)) admit(key);
    },
    status: () => ({
      ...{ state, reason, sinceWallMs, wanted: wanted.size, refused: new Map(refused), left: left.size, events },
      written: [...wanted].filter(([key, want]) => sure.has(key) && there.get(key) === want).length,
    }),
    [Symbol.dispose]: () => {
      disposed = true;
      turn++;
      timer?.[Symbol.dispose]();
      session?.[Symbol.dispose]();
    },
  };
};

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

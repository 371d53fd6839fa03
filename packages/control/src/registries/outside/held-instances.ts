/**
 * Which instances of an outside registry are in force. Facts (a registration, a removal, one expired time-to-live) are
 * believed at once; hints (absence from a list, most of a service expiring together) are held for a while; an outage
 * freezes everything. Time comes in as an argument.
 */
import { sameValue } from "@weft/core/equal";
import { createExpiries } from "./expiries.ts";
import { createFlaps } from "./flaps.ts";
import { problemOf } from "./instance-problem.ts";
import type { LeftOut, SourceEvent, SourceInstance } from "./source-events.ts";
import { createUnreadableRecords } from "./unreadable-records.ts";

/** How long an instance that seems gone is kept as a last resort. It runs only while the registry is heard. */
export const holdMs = 5 * 60_000;
/** Instances of a source; further ones are refused and reported. */
export const sourceInstancesMax = 200_000;

/** Places of a source of which it is remembered how much is left out. */
export const leftOutMax = 1_000;
/** New instances that are left out, by key; of more it is not known which they are. */
const refusedMax = 100_000;

export type HoldReason = "absent" | "expired";

export interface InForce {
  readonly key: string;
  readonly instance: SourceInstance;
  /** Why it is used only where nothing else is. */
  readonly held: HoldReason | undefined;
}

/** `starting` has not heard the registry yet; `connected` waits for the list; `live` has it; `lost` keeps what was. */
export type SourceState = "starting" | "connected" | "live" | "lost";

export interface HeldInstances {
  apply(event: SourceEvent, nowMs: number): void;
  /** Lets go what was held long enough. To be called at `deadlineMs`. */
  tick(nowMs: number): void;
  deadlineMs(nowMs: number): number | undefined;
  get(key: string): InForce | undefined;
  values(): IterableIterator<InForce>;
  state(): SourceState;
  heldCount(): number;
  /** What to keep over a restart. */
  kept(nowMs: number): Restored;
  /** Keys that came, went or changed since this was last asked. */
  takeChanges(): ReadonlySet<string>;
  status(nowMs: number): HeldStatus;
}

export interface HeldStatus {
  readonly state: SourceState;
  /** Why it was lost last; "" where it is not. */
  readonly reason: string;
  /** How old the view is: 0 while live. */
  readonly ageMs: number;
  readonly instances: number;
  readonly held: ReadonlyMap<HoldReason, number>;
  /** Came and went too often, and wait. */
  readonly damped: number;
  /** Records by key with what is wrong; at most `unreadableMax` of them. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** New instances left out since the last list, because the source is full. */
  readonly refused: number;
  /** What a source does not even read of a place that has too much, by the place's key. */
  readonly leftOut: ReadonlyMap<string, LeftOut>;
}

/** What was kept over a restart. */
export interface Restored {
  readonly ageMs: number;
  readonly instances: readonly KeptInstance[];
}

export interface KeptInstance {
  readonly instance: SourceInstance;
  readonly held?: { readonly reason: HoldReason; readonly leftMs: number };
}

interface Hold {
  readonly reason: HoldReason;
  /** On the clock that runs while the source is live. */
  readonly endsMs: number;
}

const serviceOf = ({ namespace, service }: SourceInstance): string => `${namespace}/${service}`;

/** `instancesMax` is for tests. */
export const createHeldInstances = (
  nowMs: number,
  restored?: Restored,
  instancesMax = sourceInstancesMax,
): HeldInstances => {
  const instances = new Map<string, InForce>();
  /** In the order of their ends, as each lasts equally long. */
  const holds = new Map<string, Hold>();
  /** Instances of a service that are not held. */
  const usable = new Map<string, number>();
  const expiries = createExpiries();
  const flaps = createFlaps();
  const unreadable = createUnreadableRecords();
  let changed = new Set<string>();
  let state: SourceState = "starting";
  let reason = "";
  const refused = new Set<string>();
  const leftOut = new Map<string, LeftOut>();
  /** Those told of since the last list. */
  const leftOutNow = new Set<string>();
  let staleSinceMs: number | undefined = nowMs - (restored?.ageMs ?? 0);
  let livedMs = 0;
  let liveSinceMs = 0;

  const liveClock = (now: number): number => (state === "live" ? livedMs + (now - liveSinceMs) : livedMs);
  const ageMs = (now: number): number => (staleSinceMs === undefined ? 0 : now - staleSinceMs);
  const count = (service: string, by: number): void => {
    const after = (usable.get(service) ?? 0) + by;
    if (after > 0) usable.set(service, after);
    else usable.delete(service);
  };
  const set = (instance: SourceInstance, held: HoldReason | undefined): void => {
    const { key } = instance;
    const before = instances.get(key);
    if (before && before.held === held && sameValue(before.instance, instance)) return;
    if (before && !before.held) count(serviceOf(before.instance), -1);
    if (!held) {
      count(serviceOf(instance), 1);
      holds.delete(key);
    }
    instances.set(key, { key, instance, held });
    changed.add(key);
  };
  const drop = (key: string): InForce | undefined => {
    const before = instances.get(key);
    if (!before) return undefined;
    instances.delete(key);
    holds.delete(key);
    if (!before.held) count(serviceOf(before.instance), -1);
    changed.add(key);
    return before;
  };
  const hold = (instance: SourceInstance, why: HoldReason, endsMs: number): void => {
    if (holds.has(instance.key)) return;
    set(instance, why);
    holds.set(instance.key, { reason: why, endsMs });
  };
  const admit = (instance: SourceInstance): void => {
    if (!instances.has(instance.key) && instances.size >= instancesMax) {
      if (refused.size < refusedMax) refused.add(instance.key);
      return;
    }
    refused.delete(instance.key);
    set(instance, undefined);
  };
  /** A service whose last usable instance went takes back what was only waiting. */
  const relieve = (service: string): void => {
    if (!usable.has(service)) for (const instance of flaps.releaseService(service)) admit(instance);
  };

  const put = (instance: SourceInstance, now: number): void => {
    const { key } = instance;
    const problem = problemOf(instance);
    if (problem !== undefined) {
      noteUnreadable(key, problem);
      return;
    }
    unreadable.forget(key);
    expiries.forget(key);
    const lone = !usable.has(serviceOf(instance));
    if (instances.has(key) || lone || !flaps.waits(instance, now)) {
      flaps.stopWaiting(key);
      admit(instance);
    }
  };

  const remove = (key: string, because: "deleted" | "expired", now: number): void => {
    refused.delete(key);
    unreadable.forget(key);
    if (because === "deleted") expiries.forget(key);
    if (flaps.stopWaiting(key)) flaps.noteRemoval(key, now);
    const before = instances.get(key);
    if (!before) return;
    const service = serviceOf(before.instance);
    if (because === "expired") {
      expiries.forget(key);
      const others = expiries.count(service, now);
      const prior = (usable.get(service) ?? 0) + others + (before.held ? 1 : 0);
      expiries.note(before.instance, now);
      if (others > 0 && 2 * (others + 1) > prior) {
        for (const instance of expiries.takeBack(service)) hold(instance, "expired", liveClock(now) + holdMs);
        relieve(service);
        return;
      }
    }
    drop(key);
    flaps.noteRemoval(key, now);
    relieve(service);
  };

  const listed = (given: readonly SourceInstance[], readTo: string | undefined, now: number): void => {
    enterLive(now);
    refused.clear();
    for (const key of leftOut.keys()) if (!leftOutNow.has(key)) leftOut.delete(key);
    leftOutNow.clear();
    const present = new Set<string>();
    for (const instance of given) {
      present.add(instance.key);
      put(instance, now);
    }
    unreadable.listed(present);
    for (const key of flaps.waitingKeys()) if (!present.has(key)) flaps.stopWaiting(key);
    const services = new Set<string>();
    for (const { key, instance, held } of [...instances.values()]) {
      if (held || present.has(key) || unreadable.covers(key) || isAfter(key, readTo)) continue;
      hold(instance, "absent", liveClock(now) + holdMs);
      services.add(serviceOf(instance));
    }
    for (const service of services) relieve(service);
  };

  const missing = (keys: readonly string[], now: number): void => {
    const services = new Set<string>();
    for (const key of keys) {
      unreadable.forget(key);
      flaps.stopWaiting(key);
      const known = instances.get(key);
      if (!known || known.held) continue;
      hold(known.instance, "absent", liveClock(now) + holdMs);
      services.add(serviceOf(known.instance));
    }
    for (const service of services) relieve(service);
  };

  const noteUnreadable = (key: string, problem: string, whole = false): void => {
    unreadable.note(key, problem, whole);
    // The record is there, only not to be read: the good one before it counts as present.
    for (const one of whole ? [...holds.keys()].filter((held) => held.startsWith(`${key}/`)) : [key]) {
      const known = instances.get(one);
      if (known?.held === "absent") set(known.instance, undefined);
    }
  };
  const readable = (key: string, keys: readonly string[], now: number): void => {
    unreadable.forget(key);
    const present = new Set(keys);
    const below = [...instances.keys()].filter((one) => one.startsWith(`${key}/`) && !present.has(one));
    missing(
      below.filter((one) => !unreadable.covers(one)),
      now,
    );
  };
  const noteLeftOut = (key: string, left: LeftOut): void => {
    if (left.count === 0) leftOut.delete(key);
    else if (leftOut.has(key) || leftOut.size < leftOutMax) {
      leftOut.set(key, left);
      leftOutNow.add(key);
    }
  };
  const enterLive = (now: number): void => {
    if (state === "live") return;
    state = "live";
    reason = "";
    liveSinceMs = now;
    staleSinceMs = undefined;
  };
  const leaveLive = (now: number): void => {
    if (state !== "live") return;
    livedMs = liveClock(now);
    staleSinceMs = now;
  };

  const leftOf = ({ held }: KeptInstance): number => Math.min(held?.leftMs ?? 0, holdMs);
  for (const kept of [...(restored?.instances ?? [])].sort((a, b) => leftOf(a) - leftOf(b))) {
    if (problemOf(kept.instance) !== undefined || instances.size >= instancesMax) continue;
    if (kept.held) hold(kept.instance, kept.held.reason, leftOf(kept));
    else set(kept.instance, undefined);
  }

  return {
    apply(event, now) {
      switch (event.kind) {
        case "connected":
          leaveLive(now);
          state = "connected";
          break;
        case "lost":
          leaveLive(now);
          state = "lost";
          reason = event.reason;
          break;
        case "listed":
          listed(event.instances, event.readTo, now);
          break;
        case "put":
          put(event.instance, now);
          break;
        case "removed":
          remove(event.key, event.because, now);
          break;
        case "missing":
          missing(event.keys, now);
          break;
        case "unreadable":
          noteUnreadable(event.key, event.problem, event.whole);
          break;
        case "left-out":
          noteLeftOut(event.key, event.left);
          break;
        case "readable":
          readable(event.key, event.keys, now);
          break;
      }
    },
    tick(now) {
      for (const instance of flaps.releaseDue(now)) admit(instance);
      if (state !== "live") return;
      const clock = liveClock(now);
      for (const [key, { endsMs }] of holds) {
        if (endsMs > clock) break;
        drop(key);
      }
    },
    deadlineMs(now) {
      const [first] = holds.values();
      const holdEnds = first && state === "live" ? now + Math.max(0, first.endsMs - liveClock(now)) : undefined;
      const waitEnds = flaps.deadlineMs();
      if (holdEnds === undefined || waitEnds === undefined) return holdEnds ?? waitEnds;
      return Math.min(holdEnds, waitEnds);
    },
    get: (key) => instances.get(key),
    values: () => instances.values(),
    state: () => state,
    heldCount: () => holds.size,
    kept: (now) => ({
      ageMs: ageMs(now),
      instances: [...instances.values()].map(({ key, instance }) => {
        const held = holds.get(key);
        return held ? { instance, held: { reason: held.reason, leftMs: held.endsMs - liveClock(now) } } : { instance };
      }),
    }),
    takeChanges() {
      const taken = changed;
      changed = new Set();
      return taken;
    },
    status(now) {
      const held = new Map<HoldReason, number>();
      for (const { reason: why } of holds.values()) held.set(why, (held.get(why) ?? 0) + 1);
      return {
        state,
        reason,
        ageMs: ageMs(now),
        instances: instances.size,
        held,
        damped: flaps.waiting(),
        unreadable: unreadable.problems(),
        refused: refused.size,
        leftOut,
      };
    },
  };
};

/** In the order of bytes, as registries sort. */
const isAfter = (key: string, other: string | undefined): boolean =>
  other !== undefined && Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;

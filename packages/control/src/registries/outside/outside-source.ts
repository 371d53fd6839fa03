/** One outside registry at work: its driver's events become instances in force, kept on disk and shown in the graph. */
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { createHeldInstances, type HeldInstances, type HeldStatus, type SourceState } from "./held-instances.ts";
import { openLastGoodFile } from "./last-good-file.ts";
import type { OutsideView, ServiceProblem } from "./outside-view.ts";
import { withoutOwn } from "./own-instances.ts";
import type { OpenSource, SourceEvent } from "./source-events.ts";

export interface OutsideSource extends Disposable {
  readonly name: string;
  /** The URL it was named by. */
  readonly url: string;
  status(): SourceStatus;
}

export interface SourceStatus extends HeldStatus {
  readonly services: number;
  readonly events: ReadonlyMap<string, number>;
  /** When the registry last said something; `undefined` when it never did. */
  readonly heardWallMs: number | undefined;
  /** When its state last changed. */
  readonly sinceWallMs: number;
  /** Why the last good view is not kept; "" where it is. */
  readonly diskProblem: string;
  readonly problems: readonly ServiceProblem[];
}

export interface OutsideSourceOptions {
  readonly name: string;
  readonly url: string;
  /** What is read, without the addresses. */
  readonly registry: string;
  /** What this mesh marks its own with, where it writes into registries. */
  readonly mesh: string;
  readonly open: OpenSource;
  readonly view: OutsideView;
  /** Where the last good view is kept. */
  readonly folder: string;
  /** The view was written to; a commit is due. */
  readonly changed: () => void;
  /** An event was taken. */
  readonly told: () => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

/** Opens the source with what was kept; never throws for what the registry or the disk does. */
export const openOutsideSource = (options: OutsideSourceOptions): OutsideSource => {
  const { name, view, clock, setTimer, random, log } = options;
  let held: HeldInstances | undefined;
  const file = openLastGoodFile(options, () => held as HeldInstances);
  const instances = createHeldInstances(clock.nowMs(), file.restored);
  held = instances;
  const events = new Map<string, number>();
  const say = reporter(name, log, clock);
  let heardWallMs: number | undefined;
  let sinceWallMs = clock.wallMs();
  let timer: Disposable | undefined;
  let armedMs = Number.POSITIVE_INFINITY;

  const arm = (): void => {
    const nextMs = instances.deadlineMs(clock.nowMs()) ?? Number.POSITIVE_INFINITY;
    if (Math.abs(nextMs - armedMs) < 1) return;
    timer?.[Symbol.dispose]();
    timer = undefined;
    armedMs = nextMs;
    if (nextMs !== Number.POSITIVE_INFINITY) timer = setTimer(due, Math.max(0, nextMs - clock.nowMs()));
  };
  const due = (): void => {
    armedMs = Number.POSITIVE_INFINITY;
    instances.tick(clock.nowMs());
    show();
    arm();
  };
  const show = (): void => {
    const keys = instances.takeChanges();
    for (const key of keys) {
      const item = instances.get(key);
      if (item) view.instances.put(item);
      else view.instances.drop(key);
    }
    if (keys.size === 0) return;
    options.changed();
    file.changed();
  };
  const emit = (event: SourceEvent): void => {
    const before = instances.state();
    events.set(event.kind, (events.get(event.kind) ?? 0) + 1);
    if (event.kind !== "lost") heardWallMs = clock.wallMs();
    instances.apply(event, clock.nowMs());
    if (instances.state() !== before) sinceWallMs = clock.wallMs();
    say(event, before, instances);
    show();
    arm();
    options.told();
  };
  for (const item of instances.values()) view.instances.put(item);
  instances.takeChanges();
  options.changed();
  if (file.restored) {
    const { instances: kept, ageMs } = file.restored;
    log.info("began with the last good view of a registry", { registry: name, instances: kept.length, ageMs });
  }
  const emitOthers = (event: SourceEvent): void => {
    for (const one of withoutOwn(event, options.mesh)) emit(one);
  };
  const running = options.open({ emit: emitOthers, clock, setTimer, random, log });
  return {
    name,
    url: options.url,
    status: () => ({
      ...instances.status(clock.nowMs()),
      services: view.services.size,
      events,
      heardWallMs,
      sinceWallMs,
      diskProblem: file.problem(),
      problems: view.problems(),
    }),
    [Symbol.dispose]: () => {
      running[Symbol.dispose]();
      timer?.[Symbol.dispose]();
      file[Symbol.dispose]();
    },
  };
};

const heldLogMs = 5_000;

/** Says what changed for people, once for each outage, list that lacks something, and mass expiry. */
const reporter = (registry: string, log: Logger, clock: Clock) => {
  let heldBefore = 0;
  let saidHeldMs = Number.NEGATIVE_INFINITY;
  let lastReason = "";
  let everRead = false;
  return (event: SourceEvent, stateBefore: SourceState, instances: HeldInstances): void => {
    const held = instances.heldCount();
    if (event.kind === "lost" && event.reason !== lastReason) {
      lastReason = event.reason;
      const what =
        everRead || instances.values().next().done !== true ? "its last view stays" : "nothing is known of it";
      log.warn(`WF2110 a registry is out of reach, ${what}`, { registry, reason: event.reason });
    } else if (event.kind === "listed" && stateBefore !== "live") {
      lastReason = "";
      everRead = true;
      log.info("a registry is read", { registry, instances: instances.status(clock.nowMs()).instances });
    } else if (event.kind === "unreadable") {
      log.debug("WF2112 a record cannot be read", { registry, key: event.key, problem: event.problem });
    }
    // A mass expiry comes one by one.
    if (held > heldBefore && clock.nowMs() - saidHeldMs >= heldLogMs) {
      saidHeldMs = clock.nowMs();
      log.warn("WF2111 instances seem gone and are kept as a last resort", { registry, held });
    }
    heldBefore = held;
  };
};

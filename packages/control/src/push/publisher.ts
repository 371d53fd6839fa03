/**
 * From a changed model to connected proxies: one snapshot per audience, made when a change has settled, handed to each
 * stream of that audience. Streams differ only in where their cursors are. Where only endpoints changed, those streams
 * get a new snapshot that are subscribed to some of them; the others when they next ask for something, or in time.
 */
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { createDiffer, type Differ } from "@weft/xds/diff";
import { createAssignmentEncoder } from "@weft/xds/encode-assignment";
import type { SubscribedKind } from "@weft/xds/resource";
import { createResourceEncoder } from "@weft/xds/route-pieces";
import { createSnapshotBuilder, type Snapshot, type SnapshotBuilderOptions } from "@weft/xds/snapshot";
import type { Generator } from "../generate/generator.ts";
import type { ProxyFacts } from "../generate/proxy-facts.ts";
import { createInterest } from "./interest.ts";
import type { PushMetrics } from "./push-metrics.ts";
import { createPushSchedule, type DuePush } from "./push-schedule.ts";
import { inSlices } from "./slices.ts";

/** A stream as the publisher sees it. */
export interface Subscriber {
  readonly proxy: ProxyFacts;
  /** Takes over the newest snapshot; sends when and as the protocol allows. */
  push(snapshot: Snapshot): void;
}

/** What a stream tells of itself. */
export interface Subscription extends Disposable {
  /** Pushes what the subscriber was not given because it had not asked for it. To be called before it asks for more. */
  catchUp(): void;
  /** Changes of these endpoints are pushed to it from now on. */
  wants(name: string): void;
  unwants(name: string): void;
  /** The same of a whole set that others may have too. */
  joins(names: ReadonlySet<string>): void;
  leaves(names: ReadonlySet<string>): void;
  /** Of all endpoints. */
  wantsAll(): void;
  unwantsAll(): void;
}

export interface BadResource {
  readonly kind: SubscribedKind;
  readonly name: string;
  readonly reason: string;
  readonly sinceMs: number;
}

export interface Publisher {
  readonly diff: Differ;
  readonly nextEpoch: () => number;
  /** To be called after each commit that changed something. */
  changed(): void;
  /** Pushes at once, and what changes for the subscriber, until disposed. */
  connect(subscriber: Subscriber): Subscription;
  /** A change is noticed and not given to all proxies yet. */
  pending(): boolean;
  /** When the change was noticed that a push of this number carries. */
  changedAtMs(epoch: number): number | undefined;
  badResources(): readonly BadResource[];
  /** What generation gave other than written, for the proxies connected. */
  notes(): readonly Finding[];
  /** Patches of EnvoyFilters that matched something on the proxies connected, by id. */
  matchedPatches(): { readonly proxies: number; readonly matched: ReadonlySet<string> };
  /** A snapshot of what this proxy should have, as a connected one would get it. */
  snapshotOf(proxy: ProxyFacts): Snapshot;
}

export interface PublisherOptions {
  readonly generator: Generator;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly metrics: PushMetrics;
  readonly encode?: SnapshotBuilderOptions["encode"];
}

/** Audiences that no change of endpoints concerned are brought up to date a part at a time. */
const laggingPerPush = 1;
const laggingShare = 1024;
const epochsRemembered = 256;

/** A subscriber from when it connects until it is gone. */
interface Follower {
  readonly subscriber: Subscriber;
  /** `undefined` once it is gone. */
  home: Audience | undefined;
  /** The last it was pushed. */
  given: Snapshot | undefined;
}

interface Audience {
  readonly key: string;
  readonly followers: Set<Follower>;
  snapshot: Snapshot | undefined;
  /** The push it was last made current for. */
  currentAt: number;
}

export const createPublisher = (options: PublisherOptions): Publisher => {
  const { generator, clock, setTimer, log, metrics } = options;
  const audiences = new Map<string, Audience>();
  const interest = createInterest<Follower>();
  /** The last push of endpoints alone: audiences that are older may lag behind. */
  let endpointsEpoch = 0;
  /** The last push of anything else: audiences that are older have more to take over than endpoints. */
  let fullEpoch = 0;
  let lagging: Iterator<Audience> | undefined;
  const changedNames = new Set<string>();
  const changedAt = new Map<number, number>();
  let bad = new Map<string, BadResource>();
  /** What a push to all that goes on has not found good yet. */
  let badBefore: ReadonlyMap<string, BadResource> = new Map<string, never>();
  let epoch = 0;
  /** Number of what is made for proxies that connect between two pushes, so that they share what they are sent. */
  let connectEpoch: number | undefined;

  const encodeAssignment = createAssignmentEncoder();
  const encodeOther = createResourceEncoder();
  const builder = createSnapshotBuilder({
    encode:
      options.encode ??
      ((kind, json, before) => (kind === "endpoints" ? encodeAssignment(json, before) : encodeOther(kind, json))),
    onBad: ({ kind, name }, error) => {
      const key = `${kind}/${name}`;
      const reason = error instanceof Error ? error.message : String(error);
      const known = bad.get(key) ?? badBefore.get(key);
      bad.set(key, known?.reason === reason ? known : { kind, name, reason, sinceMs: clock.wallMs() });
      if (known?.reason === reason) return;
      log.error("resource cannot be sent, its last good form stays", { kind, name, reason });
    },
  });

  const nextEpoch = (): number => ++epoch;

  const refresh = (audience: Audience, proxy: ProxyFacts, epoch: number): Snapshot => {
    audience.snapshot = builder.build(generator.generate(proxy).resources, epoch, audience.snapshot);
    // Only now: where that failed, the next who asks tries again.
    audience.currentAt = Math.max(epoch, endpointsEpoch);
    return audience.snapshot;
  };

  /** As `refresh`, where nothing but endpoints changed since the audience was last made current. */
  const refreshEndpoints = (audience: Audience, proxy: ProxyFacts, epoch: number): Snapshot => {
    const { snapshot, currentAt } = audience;
    const endpoints = snapshot && currentAt >= fullEpoch ? generator.endpointsOf(proxy) : undefined;
    if (!snapshot || !endpoints) return refresh(audience, proxy, epoch);
    audience.snapshot = builder.withEndpoints(endpoints, epoch, snapshot);
    audience.currentAt = epoch;
    return audience.snapshot;
  };

  const pushNow = ({ changedAtMs, all }: DuePush, done: () => void): void => {
    const pushEpoch = nextEpoch();
    connectEpoch = undefined;
    changedAt.set(pushEpoch, changedAtMs);
    for (const old of changedAt.keys()) {
      if (changedAt.size <= epochsRemembered) break;
      changedAt.delete(old);
    }
    const names = [...changedNames];
    changedNames.clear();
    const ended = (busyMs: number): void => {
      metrics.badResources.set(bad.size);
      metrics.generation.observe(busyMs / 1000);
      done();
    };
    if (all) pushAll(pushEpoch, ended);
    else pushEndpoints(names, pushEpoch, ended);
  };

  const pushEndpoints = (names: readonly string[], pushEpoch: number, ended: (busyMs: number) => void): void => {
    const startedMs = clock.nowMs();
    for (const name of names) bad.delete(`endpoints/${name}`);
    endpointsEpoch = pushEpoch;
    for (const follower of interest.of(names)) pushTo(follower, pushEpoch, refreshEndpoints);
    pushLagging(pushEpoch);
    ended(clock.nowMs() - startedMs);
  };

  const pushAll = (pushEpoch: number, ended: (busyMs: number) => void): void => {
    badBefore = bad;
    bad = new Map();
    fullEpoch = pushEpoch;
    inSlices({ clock, setTimer, steps: toAll(pushEpoch)[Symbol.iterator]() }, (busyMs) => {
      badBefore = new Map<string, never>();
      ended(busyMs);
    });
  };
  const schedule = createPushSchedule({ clock, setTimer, push: pushNow });

  const toAll = function* (pushEpoch: number): Iterable<void> {
    for (const audience of [...audiences.values()]) {
      for (const follower of [...audience.followers]) {
        // It may have gone, or moved, since.
        if (follower.home !== audience) continue;
        pushTo(follower, pushEpoch);
        yield;
      }
      if (audience.followers.size === 0 && audiences.get(audience.key) === audience) audiences.delete(audience.key);
    }
  };

  /** A proxy that a change moved to another audience goes there with what it was last given; others may stay. */
  const rehome = (follower: Follower): void => {
    const { home, subscriber } = follower;
    if (!home) return;
    const now = generator.audienceOf(subscriber.proxy);
    if (now !== home.key) move(follower, home, audienceAt(now));
  };

  const move = (follower: Follower, from: Audience, to: Audience): void => {
    to.followers.add(follower);
    from.followers.delete(follower);
    follower.home = to;
  };

  const pushTo = (follower: Follower, pushEpoch: number, make = refresh): void => {
    const { subscriber } = follower;
    try {
      // What changed for all is known already where it is not pushed to all yet.
      if (schedule.pending) rehome(follower);
      const { home } = follower;
      if (!home) return;
      const current = home.currentAt >= pushEpoch ? home.snapshot : undefined;
      const snapshot = current ?? make(home, subscriber.proxy, pushEpoch);
      if (snapshot === follower.given) return;
      follower.given = snapshot;
      subscriber.push(snapshot);
    } catch (error) {
      tellFailed(subscriber, error);
    }
  };

  const tellFailed = ({ proxy }: Subscriber, error: unknown): void =>
    log.error("push failed", { proxy: proxy.id, error: error instanceof Error ? (error.stack ?? "") : "" });

  /** What nobody brings up to date would hold on to all that changed since. */
  const pushLagging = (pushEpoch: number): void => {
    for (let left = laggingPerPush + audiences.size / laggingShare; left > 0; left--) {
      lagging ??= audiences.values();
      const { value, done } = lagging.next();
      if (done) {
        lagging = undefined;
        return;
      }
      for (const follower of value.followers) pushTo(follower, pushEpoch, refreshEndpoints);
    }
  };

  const audienceAt = (key: string): Audience => {
    const audience = audiences.get(key) ?? { key, followers: new Set(), snapshot: undefined, currentAt: -1 };
    audiences.set(key, audience);
    return audience;
  };

  const isCurrent = ({ snapshot, currentAt, followers }: Audience): boolean =>
    followers.size > 0 && snapshot !== undefined && !schedule.waits && currentAt >= Math.max(endpointsEpoch, fullEpoch);

  const disconnect = (follower: Follower): void => {
    const { home } = follower;
    follower.home = undefined;
    if (home?.followers.delete(follower) && home.followers.size === 0 && audiences.get(home.key) === home)
      audiences.delete(home.key);
  };

  return {
    diff: createDiffer(),
    nextEpoch,
    changed() {
      const { other, own, names, addresses, endpoints } = generator.refresh();
      if (!other && endpoints.size === 0 && addresses.size === 0) return;
      for (const name of names) changedNames.add(name);
      schedule.changed(other ? "anything" : own ? "own" : "endpoints");
    },
    connect(subscriber) {
      const audience = audienceAt(generator.audienceOf(subscriber.proxy));
      connectEpoch ??= nextEpoch();
      const snapshot =
        isCurrent(audience) && audience.snapshot
          ? audience.snapshot
          : refresh(audience, subscriber.proxy, connectEpoch);
      const follower: Follower = { subscriber, home: audience, given: snapshot };
      audience.followers.add(follower);
      subscriber.push(snapshot);
      return {
        catchUp() {
          const { home } = follower;
          if (!home) return;
          connectEpoch ??= nextEpoch();
          pushTo(follower, home.currentAt >= endpointsEpoch ? home.currentAt : connectEpoch);
        },
        wants: (name) => interest.add(follower, name),
        unwants: (name) => interest.remove(follower, name),
        joins: (names) => interest.join(follower, names),
        leaves: (names) => interest.leave(follower, names),
        wantsAll: () => interest.addAll(follower),
        unwantsAll: () => interest.removeAll(follower),
        [Symbol.dispose]: () => disconnect(follower),
      };
    },
    pending: () => schedule.pending,
    changedAtMs: (epoch) => changedAt.get(epoch),
    badResources: () => [...new Map([...badBefore, ...bad]).values()],
    notes() {
      const notes = new Set<Finding>();
      for (const { followers } of audiences.values()) {
        const [one] = followers;
        if (one) for (const note of generator.generate(one.subscriber.proxy).notes) notes.add(note);
      }
      return [...notes];
    },
    matchedPatches() {
      const matched = new Set<string>();
      let proxies = 0;
      for (const { followers } of audiences.values()) {
        proxies += followers.size;
        const [one] = followers;
        if (one) for (const id of generator.generate(one.subscriber.proxy).matched ?? []) matched.add(id);
      }
      return { proxies, matched };
    },
    snapshotOf: (proxy) => refresh({ key: "", followers: new Set(), snapshot: undefined, currentAt: -1 }, proxy, 0),
  };
};

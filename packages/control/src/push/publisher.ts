/**
 * From a changed model to connected proxies: one snapshot per audience, made when a change has settled, handed to each
 * stream of that audience. Streams differ only in where their cursors are. Where only endpoints changed, those streams
 * get a new snapshot that are subscribed to some of them; the others when they next ask for something, or in time.
 */
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { encodeResource } from "@weft/xds/codec";
import { createDiffer, type Differ } from "@weft/xds/diff";
import type { SubscribedKind } from "@weft/xds/resource";
import { createSnapshotBuilder, type Snapshot } from "@weft/xds/snapshot";
import type { Generator } from "../generate/generator.ts";
import type { ProxyFacts } from "../generate/proxy-facts.ts";
import { createInterest } from "./interest.ts";
import type { PushMetrics } from "./push-metrics.ts";

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
  readonly encode?: (kind: SubscribedKind, json: object) => Uint8Array;
}

/** A change waits until none came for this long, but never longer than the second. */
const quietMs = 10;
const waitMaxMs = 100;
/** Endpoints wait only until the last push is as long ago as it took, so that pushing takes half of the time at most. */
const gapMinMs = 2;
const gapMaxMs = 100;
/** Audiences that no change of endpoints concerned are brought up to date a part at a time. */
const laggingPerPush = 1;
const laggingShare = 1024;
const epochsRemembered = 256;

interface Audience {
  readonly key: string;
  readonly subscribers: Map<Subscriber, Snapshot | undefined>;
  snapshot: Snapshot | undefined;
  /** The push it was last made current for. */
  currentAt: number;
}

export const createPublisher = (options: PublisherOptions): Publisher => {
  const { generator, clock, setTimer, log, metrics } = options;
  const audiences = new Map<string, Audience>();
  const homes = new Map<Subscriber, Audience>();
  const interest = createInterest<Subscriber>();
  /** The last push of endpoints alone: audiences that are older may lag behind. */
  let endpointsEpoch = 0;
  /** The last push of anything else: audiences that are older have more to take over than endpoints. */
  let fullEpoch = 0;
  let lagging: Iterator<Audience> | undefined;
  const changedNames = new Set<string>();
  let changedAll = false;
  const changedAt = new Map<number, number>();
  let bad = new Map<string, BadResource>();
  let epoch = 0;
  /** Number of what is made for proxies that connect between two pushes, so that they share what they are sent. */
  let connectEpoch: number | undefined;
  let firstChangeMs: number | undefined;
  let timer: Disposable | undefined;
  let lastPushMs = Number.NEGATIVE_INFINITY;
  let lastTookMs = 0;

  const builder = createSnapshotBuilder({
    encode: options.encode ?? ((kind, json) => encodeResource(kind, json as never)),
    onBad: ({ kind, name }, error) => {
      const key = `${kind}/${name}`;
      const reason = error instanceof Error ? error.message : String(error);
      const known = bad.get(key);
      if (known?.reason === reason) return;
      bad.set(key, { kind, name, reason, sinceMs: clock.wallMs() });
      log.error("resource cannot be sent, its last good form stays", { kind, name, reason });
    },
  });

  const nextEpoch = (): number => ++epoch;

  const refresh = (audience: Audience, proxy: ProxyFacts, epoch: number): Snapshot => {
    audience.snapshot = builder.build(generator.generate(proxy).resources, epoch, audience.snapshot);
    // Only now: where that failed, the next who asks tries again.
    audience.currentAt = epoch;
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

  const pushNow = (): void => {
    timer = undefined;
    const startedMs = clock.nowMs();
    const pushEpoch = nextEpoch();
    connectEpoch = undefined;
    changedAt.set(pushEpoch, firstChangeMs ?? startedMs);
    firstChangeMs = undefined;
    for (const old of changedAt.keys()) {
      if (changedAt.size <= epochsRemembered) break;
      changedAt.delete(old);
    }
    const names = [...changedNames];
    const all = changedAll;
    changedNames.clear();
    changedAll = false;
    if (all) {
      bad = new Map();
      fullEpoch = pushEpoch;
      for (const audience of [...audiences.values()]) pushAudience(audience, pushEpoch);
    } else {
      for (const name of names) bad.delete(`endpoints/${name}`);
      endpointsEpoch = pushEpoch;
      for (const subscriber of interest.of(names)) pushTo(subscriber, pushEpoch, refreshEndpoints);
      pushLagging(pushEpoch);
    }
    metrics.badResources.set(bad.size);
    lastPushMs = clock.nowMs();
    lastTookMs = lastPushMs - startedMs;
    metrics.generation.observe(lastTookMs / 1000);
  };

  /** A proxy that a change moved to another audience goes there with what it was last given. */
  const pushAudience = (audience: Audience, pushEpoch: number): void => {
    for (const subscriber of audience.subscribers.keys()) {
      try {
        const now = generator.audienceOf(subscriber.proxy);
        if (now !== audience.key) move(subscriber, audience, audienceAt(now));
      } catch (error) {
        tellFailed(subscriber, error);
        continue;
      }
      pushTo(subscriber, pushEpoch);
    }
    if (audience.subscribers.size === 0) audiences.delete(audience.key);
  };

  const move = (subscriber: Subscriber, from: Audience, to: Audience): void => {
    to.subscribers.set(subscriber, from.subscribers.get(subscriber));
    from.subscribers.delete(subscriber);
    homes.set(subscriber, to);
  };

  const pushTo = (subscriber: Subscriber, pushEpoch: number, make = refresh): void => {
    const home = homes.get(subscriber);
    if (!home) return;
    try {
      const current = home.currentAt === pushEpoch ? home.snapshot : undefined;
      const snapshot = current ?? make(home, subscriber.proxy, pushEpoch);
      if (snapshot === home.subscribers.get(subscriber)) return;
      home.subscribers.set(subscriber, snapshot);
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
      for (const subscriber of value.subscribers.keys()) pushTo(subscriber, pushEpoch, refreshEndpoints);
    }
  };

  const audienceAt = (key: string): Audience => {
    const audience = audiences.get(key) ?? { key, subscribers: new Map(), snapshot: undefined, currentAt: -1 };
    audiences.set(key, audience);
    return audience;
  };

  const isCurrent = ({ snapshot, currentAt, subscribers }: Audience): boolean =>
    subscribers.size > 0 && snapshot !== undefined && timer === undefined && currentAt >= endpointsEpoch;

  const disconnect = (subscriber: Subscriber): void => {
    const home = homes.get(subscriber);
    homes.delete(subscriber);
    if (home?.subscribers.delete(subscriber) && home.subscribers.size === 0 && audiences.get(home.key) === home)
      audiences.delete(home.key);
  };

  /** When what changed now is to be pushed. */
  const delayMs = (nowMs: number, other: boolean): number => {
    const firstMs = firstChangeMs ?? nowMs;
    if (other || changedAll) return Math.max(0, Math.min(quietMs, firstMs + waitMaxMs - nowMs));
    const gapMs = Math.min(gapMaxMs, Math.max(gapMinMs, lastTookMs));
    return Math.max(0, lastPushMs + gapMs - nowMs);
  };

  return {
    diff: createDiffer(),
    nextEpoch,
    changed() {
      const { other, own, names, addresses, endpoints } = generator.refresh();
      if (!other && endpoints.size === 0 && addresses.size === 0) return;
      const nowMs = clock.nowMs();
      const settles = other || own;
      firstChangeMs ??= nowMs;
      for (const name of names) changedNames.add(name);
      // More endpoints do not put off what waits already.
      if (timer !== undefined && !settles) return;
      timer?.[Symbol.dispose]();
      timer = undefined;
      const delay = delayMs(nowMs, other);
      changedAll ||= settles;
      if (delay === 0 && !other) pushNow();
      else timer = setTimer(pushNow, delay);
    },
    connect(subscriber) {
      const audience = audienceAt(generator.audienceOf(subscriber.proxy));
      connectEpoch ??= nextEpoch();
      const snapshot =
        isCurrent(audience) && audience.snapshot
          ? audience.snapshot
          : refresh(audience, subscriber.proxy, connectEpoch);
      audience.subscribers.set(subscriber, snapshot);
      homes.set(subscriber, audience);
      subscriber.push(snapshot);
      return {
        catchUp() {
          const home = homes.get(subscriber);
          if (!home) return;
          connectEpoch ??= nextEpoch();
          pushTo(subscriber, home.currentAt >= endpointsEpoch ? home.currentAt : connectEpoch);
        },
        wants: (name) => interest.add(subscriber, name),
        unwants: (name) => interest.remove(subscriber, name),
        joins: (names) => interest.join(subscriber, names),
        leaves: (names) => interest.leave(subscriber, names),
        wantsAll: () => interest.addAll(subscriber),
        unwantsAll: () => interest.removeAll(subscriber),
        [Symbol.dispose]: () => disconnect(subscriber),
      };
    },
    pending: () => timer !== undefined,
    changedAtMs: (epoch) => changedAt.get(epoch),
    badResources: () => [...bad.values()],
    notes() {
      const notes = new Set<Finding>();
      for (const { subscribers } of audiences.values()) {
        for (const { proxy } of subscribers.keys()) {
          for (const note of generator.generate(proxy).notes) notes.add(note);
          break;
        }
      }
      return [...notes];
    },
    matchedPatches() {
      const matched = new Set<string>();
      let proxies = 0;
      for (const { subscribers } of audiences.values()) {
        proxies += subscribers.size;
        const [proxy] = [...subscribers.keys()].map((one) => one.proxy);
        if (proxy) for (const id of generator.generate(proxy).matched ?? []) matched.add(id);
      }
      return { proxies, matched };
    },
    snapshotOf: (proxy) => refresh({ key: "", subscribers: new Map(), snapshot: undefined, currentAt: -1 }, proxy, 0),
  };
};

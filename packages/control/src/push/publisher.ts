/**
 * From a changed model to connected proxies: one snapshot per audience, made when a change has settled, handed to each
 * stream of that audience. Streams differ only in where their cursors are.
 */
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { encodeResource } from "@weft/xds/codec";
import { createDiffer, type Differ } from "@weft/xds/diff";
import type { ResourceKind } from "@weft/xds/resource";
import { createSnapshotBuilder, type Snapshot } from "@weft/xds/snapshot";
import type { Generator } from "../generate/generator.ts";
import type { ProxyFacts } from "../generate/proxy-facts.ts";
import type { PushMetrics } from "./push-metrics.ts";

/** A stream as the publisher sees it. */
export interface Subscriber {
  readonly proxy: ProxyFacts;
  /** Takes over the newest snapshot; sends when and as the protocol allows. */
  push(snapshot: Snapshot): void;
}

export interface BadResource {
  readonly kind: ResourceKind;
  readonly name: string;
  readonly reason: string;
  readonly sinceMs: number;
}

export interface Publisher {
  readonly diff: Differ;
  readonly nextEpoch: () => number;
  /** To be called after each commit that changed something. */
  changed(): void;
  /** Pushes at once, and to every later snapshot, until disposed. */
  connect(subscriber: Subscriber): Disposable;
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
  readonly encode?: (kind: ResourceKind, json: object) => Uint8Array;
}

/** A change waits until none came for this long, but never longer than the second. */
const quietMs = 10;
const waitMaxMs = 100;
/** An endpoint change does not wait when the last push is this long ago. */
const calmMs = 50;
const epochsRemembered = 256;

interface Audience {
  readonly subscribers: Map<Subscriber, Snapshot | undefined>;
  snapshot: Snapshot | undefined;
  /** The push it was last made current for. */
  currentAt: number;
}

export const createPublisher = (options: PublisherOptions): Publisher => {
  const { generator, clock, setTimer, log, metrics } = options;
  const audiences = new Map<string, Audience>();
  const changedAt = new Map<number, number>();
  let bad = new Map<string, BadResource>();
  let epoch = 0;
  /** Number of what is made for proxies that connect between two pushes, so that they share what they are sent. */
  let connectEpoch: number | undefined;
  let firstChangeMs: number | undefined;
  let timer: Disposable | undefined;
  let lastPushMs = Number.NEGATIVE_INFINITY;

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
    bad = new Map();
    for (const [key, audience] of audiences) pushAudience(key, audience, pushEpoch);
    metrics.badResources.set(bad.size);
    lastPushMs = clock.nowMs();
    metrics.generation.observe((lastPushMs - startedMs) / 1000);
  };

  /** A proxy that a change moved to another audience goes there with what it was last given. */
  const pushAudience = (key: string, audience: Audience, pushEpoch: number): void => {
    for (const [subscriber, given] of audience.subscribers) {
      try {
        const now = generator.audienceOf(subscriber.proxy);
        const home = now === key ? audience : audienceAt(now);
        if (home !== audience) {
          audience.subscribers.delete(subscriber);
          home.subscribers.set(subscriber, given);
        }
        const current = home.currentAt === pushEpoch ? home.snapshot : undefined;
        const snapshot = current ?? refresh(home, subscriber.proxy, pushEpoch);
        if (snapshot === given) continue;
        home.subscribers.set(subscriber, snapshot);
        subscriber.push(snapshot);
      } catch (error) {
        log.error("push failed", {
          proxy: subscriber.proxy.id,
          error: error instanceof Error ? (error.stack ?? "") : "",
        });
      }
    }
    if (audience.subscribers.size === 0) audiences.delete(key);
  };

  const audienceAt = (key: string): Audience => {
    const audience = audiences.get(key) ?? { subscribers: new Map(), snapshot: undefined, currentAt: -1 };
    audiences.set(key, audience);
    return audience;
  };

  return {
    diff: createDiffer(),
    nextEpoch,
    changed() {
      const { other, endpoints, addresses } = generator.refresh();
      if (!other && endpoints.size === 0 && addresses.size === 0) return;
      const nowMs = clock.nowMs();
      firstChangeMs ??= nowMs;
      timer?.[Symbol.dispose]();
      if (!other && timer === undefined && nowMs - lastPushMs >= calmMs) {
        pushNow();
        return;
      }
      const delay = Math.max(0, Math.min(quietMs, firstChangeMs + waitMaxMs - nowMs));
      timer = setTimer(pushNow, delay);
    },
    connect(subscriber) {
      const key = generator.audienceOf(subscriber.proxy);
      const audience = audienceAt(key);
      connectEpoch ??= nextEpoch();
      const snapshot =
        audience.subscribers.size > 0 && audience.snapshot && timer === undefined
          ? audience.snapshot
          : refresh(audience, subscriber.proxy, connectEpoch);
      audience.subscribers.set(subscriber, snapshot);
      subscriber.push(snapshot);
      return {
        [Symbol.dispose]: () => {
          for (const [key, { subscribers }] of audiences) {
            if (subscribers.delete(subscriber) && subscribers.size === 0) audiences.delete(key);
          }
        },
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
    snapshotOf: (proxy) => refresh({ subscribers: new Map(), snapshot: undefined, currentAt: -1 }, proxy, 0),
  };
};

/** One cluster at work: every kind is followed by itself, shown in the view, kept on disk, and frozen while it is not heard. */
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import type { NamedStatus } from "../outside/outside-registries.ts";
import { trimmed } from "./cluster-facts.ts";
import { clusterFindings } from "./cluster-findings.ts";
import { type ClusterObjects, createClusterObjects } from "./cluster-objects.ts";
import type { ClusterView } from "./cluster-view.ts";
import { type CollectionFact, followCollection } from "./follow-collection.ts";
import { openKeptFile } from "./kept-objects.ts";
import type { NamedCluster } from "./kubernetes-url.ts";
import { createObjectTable, type ObjectTable, objectKey } from "./object-table.ts";
import type { ReflectorState } from "./reflector.ts";
import { followServedKinds } from "./served-kinds.ts";
import { coreKinds, pathOf, type WatchedKind, watchedKinds } from "./watched-kinds.ts";

export interface Cluster extends Disposable {
  status(): NamedStatus;
  findings(): readonly Finding[];
  /** Whether all that is there was read, or was kept from before. */
  known(): boolean;
  /** Whether the API server said anything yet, be it a refusal. */
  heard(): boolean;
}

export interface ClusterOptions {
  readonly named: NamedCluster;
  readonly view: ClusterView;
  readonly folder: string;
  /** The view was written to; a commit is due. */
  readonly changed: () => void;
  readonly told: () => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

/** How one kind is doing. */
export interface FollowedKind {
  readonly kind: WatchedKind;
  readonly table: ObjectTable;
  state: ReflectorState;
  reason: string;
  listed: boolean;
}

/** Opens with what was kept; never throws for what the API server or the disk does. */
export const openCluster = (options: ClusterOptions): Cluster => {
  const { named, view, clock, setTimer, log } = options;
  const api: KubernetesApi = named.open(setTimer);
  const objects = createClusterObjects({ where: `kubernetes ${named.cluster}`, view, nowMs: clock.nowMs });
  const followed = new Map<string, FollowedKind>(watchedKinds.map((kind) => [kind.name, followedKind(kind)]));
  const running = new Map<string, { readonly path: string; readonly follower: Disposable }>();
  const streams = { works: true };
  const events = new Map<string, number>();
  const sight = createSight(options, followed);
  let timer: Disposable | undefined;
  let armedMs = Number.POSITIVE_INFINITY;

  const file = openKeptFile({
    ...options,
    ...{ name: named.name, cluster: named.content },
    current: () => ({ ageMs: sight.ageMs(), objects: keptOf(followed) }),
  });
  const show = (one: FollowedKind): void => {
    const changes = one.table.takeChanges();
    for (const [key, change] of changes) objects.apply(one.kind, key, one.table.get(key), change);
    if (changes.size === 0) return;
    options.changed();
    file.changed();
  };
  const arm = (): void => {
    const now = clock.nowMs();
    const ends = [...[...followed.values()].map(({ table }) => table.deadlineMs(now)), objects.deadlineMs()];
    const next = Math.min(...ends.map((end) => end ?? Number.POSITIVE_INFINITY));
    if (Math.abs(next - armedMs) < 1) return;
    timer?.[Symbol.dispose]();
    armedMs = next;
    timer = next === Number.POSITIVE_INFINITY ? undefined : setTimer(due, Math.max(1, next - now));
  };
  const due = (): void => {
    armedMs = Number.POSITIVE_INFINITY;
    const now = clock.nowMs();
    for (const one of followed.values()) {
      one.table.tick(now);
      show(one);
    }
    if (objects.tick(now, followed.get("EndpointSlice")?.state === "live")) options.changed();
    arm();
  };
  const tell = (one: FollowedKind, fact: CollectionFact): void => {
    events.set(fact.kind, (events.get(fact.kind) ?? 0) + 1);
    const { table, kind } = one;
    if (fact.kind === "listed") {
      table.listed(
        fact.objects.map((object) => trimmed(kind.use, object)),
        fact.older,
        clock.nowMs(),
      );
      one.listed = true;
      if (fact.older) log.warn("a cluster went back in time", { registry: named.name, kind: kind.name });
    } else if (fact.kind === "put") table.put(trimmed(kind.use, fact.object));
    else if (fact.kind === "removed") table.removed(objectKey(fact.object));
    else {
      one.state = fact.state;
      one.reason = fact.reason;
      table.heard(fact.state === "live", clock.nowMs());
      if (kind.use === "pod") {
        objects.podsReadable(fact.state !== "forbidden");
        options.changed();
      }
    }
    sight.noted(fact);
    show(one);
    arm();
    options.told();
  };
  const follow = (kind: WatchedKind, path: string): void => {
    const one = followed.get(kind.name);
    if (!one || running.get(kind.name)?.path === path) return;
    running.get(kind.name)?.follower[Symbol.dispose]();
    const follower = followCollection({
      ...options,
      ...{ api, path, selector: kind.selector, streams, tell: (fact: CollectionFact) => tell(one, fact) },
    });
    running.set(kind.name, { path, follower });
  };
  const unserved = (kind: WatchedKind): void => {
    running.get(kind.name)?.follower[Symbol.dispose]();
    running.delete(kind.name);
    const one = followed.get(kind.name);
    if (!one || one.state === "absent") return;
    // Objects of a kind that is gone are missing, not deleted: their deletion would have been told.
    if (one.table.size() > 0) tell(one, { kind: "listed", objects: [], older: false });
    tell(one, { kind: "state", state: "absent", reason: "the cluster does not have it" });
  };

  restore(file.restored?.objects, followed);
  for (const one of followed.values()) show(one);
  if (file.restored) {
    sight.restored(file.restored.ageMs);
    log.info("began with the last good view of a cluster", { registry: named.name, ageMs: file.restored.ageMs });
  }
  for (const kind of coreKinds) follow(kind, pathOf(kind, kind.versions[0] ?? "v1"));
  const serving = followServedKinds({ ...options, api, streams, serves: follow, unserved });
  arm();
  return {
    status: () => ({
      ...sight.status(),
      ...{ name: named.name, url: named.url, events, diskProblem: file.problem(), problems: [], damped: 0, refused: 0 },
      instances: view.endpoints.size,
      services: view.services.size,
      held: new Map([["absent", heldOf(followed, objects)]]),
      unreadable: objects.unreadable(),
    }),
    findings: () => clusterFindings({ named, followed, objects, state: sight.status(), diskProblem: file.problem() }),
    known: () => file.restored !== undefined || sight.complete(serving.known()),
    heard: () =>
      events.size > 0 && [...followed.values()].some(({ state }) => state !== "starting" && state !== "lost"),
    [Symbol.dispose]: () => {
      serving[Symbol.dispose]();
      for (const { follower } of running.values()) follower[Symbol.dispose]();
      api[Symbol.dispose]();
      timer?.[Symbol.dispose]();
      file[Symbol.dispose]();
    },
  };
};

const followedKind = (kind: WatchedKind): FollowedKind => ({
  ...{ kind, state: "starting", reason: "", listed: false },
  table: createObjectTable(kind.use === "configuration" || kind.use === "secret" ? "distrusted" : "all"),
});

/** Keys of secrets are not written to disk. */
const keptOf = (followed: ReadonlyMap<string, FollowedKind>) =>
  new Map(
    [...followed]
      .filter(([, { kind }]) => kind.use !== "secret")
      .map(([name, { table }]) => [name, [...table.entries()].map(([, { object }]) => object)]),
  );

const restore = (
  kept: ReadonlyMap<string, readonly Parameters<ObjectTable["put"]>[0][]> | undefined,
  followed: ReadonlyMap<string, FollowedKind>,
): void => {
  for (const [name, list] of kept ?? []) followed.get(name)?.table.restore(list);
};

const heldOf = (followed: ReadonlyMap<string, FollowedKind>, objects: ClusterObjects): number =>
  [...followed.values()].reduce((sum, { table }) => sum + table.heldCount(), objects.heldSlices());

/** Kinds without which there are no endpoints. */
const vital: readonly string[] = ["Service", "EndpointSlice"];

/** Whether the cluster is in sight as a whole, since when, and how old its view is. */
const createSight = ({ clock, log, named }: ClusterOptions, followed: ReadonlyMap<string, FollowedKind>) => {
  let state: NamedStatus["state"] = "starting";
  let reason = "";
  let sinceWallMs = clock.wallMs();
  let heardWallMs: number | undefined;
  let staleSinceMs: number | undefined = clock.nowMs();
  const judge = (): NamedStatus["state"] => {
    const of = vital.map((name) => followed.get(name)?.state);
    const lost = [...followed.values()].find((one) => vital.includes(one.kind.name) && one.state === "lost");
    reason = lost?.reason ?? "";
    if (lost) return "lost";
    return of.includes("starting") ? state : "live";
  };
  return {
    noted(fact: CollectionFact): void {
      if (fact.kind !== "state" || fact.state !== "lost") heardWallMs = clock.wallMs();
      const before = state;
      state = judge();
      if (state === before) return;
      sinceWallMs = clock.wallMs();
      if (state === "lost") {
        staleSinceMs ??= clock.nowMs();
        log.warn("WF2158 a cluster's API server is out of reach, its last view stays", {
          registry: named.name,
          reason,
        });
      } else if (state === "live") {
        staleSinceMs = undefined;
        log.info("a cluster is read", { registry: named.name });
      }
    },
    restored: (ageMs: number): void => {
      staleSinceMs = clock.nowMs() - ageMs;
    },
    ageMs: (): number => (staleSinceMs === undefined ? 0 : clock.nowMs() - staleSinceMs),
    /** All that is served has been read once. */
    complete: (discovered: boolean): boolean =>
      discovered &&
      [...followed.values()].every(({ listed, state: own }) => listed || own === "absent" || own === "forbidden"),
    status: () => ({
      ...{ state, reason, sinceWallMs, heardWallMs },
      ageMs: staleSinceMs === undefined ? 0 : clock.nowMs() - staleSinceMs,
    }),
  };
};

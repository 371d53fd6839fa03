/** One cluster at work: every kind is followed by itself, shown in the view, kept on disk, and frozen while it is not heard. */
import type { Finding } from "@weft/config/finding";
import type { Collection } from "@weft/core/collection";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { ConfigItem } from "../../model/config-item.ts";
import type { NamedStatus } from "../outside/outside-registries.ts";
import type { LeftOut } from "../outside/source-events.ts";
import { createApplyTurns } from "./apply-turns.ts";
import { type PodFacts, podFacts, trimmed } from "./cluster-facts.ts";
import { clusterFindings } from "./cluster-findings.ts";
import { type ClusterObjects, createClusterObjects } from "./cluster-objects.ts";
import type { ClusterView } from "./cluster-view.ts";
import { type CollectionFact, followCollection } from "./follow-collection.ts";
import { openKeptFile } from "./kept-objects.ts";
import type { KubernetesObject } from "./kubernetes-object.ts";
import type { NamedCluster } from "./kubernetes-url.ts";
import { type MeshConfigPlace, meshConfigKind } from "./mesh-config-map.ts";
import { createObjectTable, type ObjectTable, objectKey, type TableChange } from "./object-table.ts";
import { openProbedApi, type ProbedApi } from "./probed-api.ts";
import type { ReflectorState } from "./reflector.ts";
import { createSecretPlaces, credentialKinds } from "./secret-places.ts";
import { followServedKinds } from "./served-kinds.ts";
import { coreKinds, idOf, pathOf, secretKind, type Use, type WatchedKind, watchedKinds } from "./watched-kinds.ts";

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
  /** What files and the API have, which may name credentials too. */
  readonly stored: Collection<ConfigItem>;
  readonly rootNamespace: string;
  readonly meshConfig: MeshConfigPlace | undefined;
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
  /** Read anew, as there is room for what was left out. */
  refilling: boolean;
}

/** Opens with what was kept; never throws for what the API server or the disk does. */
export const openCluster = (options: ClusterOptions): Cluster => {
  const { named, view, clock, setTimer, log } = options;
  const api = openProbedApi({ ...options, api: named.open(setTimer), probeAfterMs: named.probeAfterMs });
  const objects = createClusterObjects({ ...options, where: `kubernetes ${named.cluster}`, nowMs: clock.nowMs });
  const settings = options.meshConfig ? [meshConfigKind(options.meshConfig)] : [];
  const followed = new Map<string, FollowedKind>(
    [...watchedKinds, ...settings].map((kind) => [idOf(kind), followedKind(kind, named.objectsMax)]),
  );
  const running = new Map<string, { readonly path: string; readonly follower: Disposable }>();
  const streams = { works: true };
  const places = createSecretPlaces(() => podsIn(followed));
  const events = new Map<string, number>();
  const sight = createSight(options, followed, api);
  let timer: Disposable | undefined;
  let armedMs = Number.POSITIVE_INFINITY;
  let unkept = false;

  const file = openKeptFile({
    ...options,
    ...{ name: named.name, cluster: named.content },
    current: () => ({ ageMs: sight.ageMs(), objects: keptOf(followed, objects) }),
  });
  const apply = (id: string, key: string, change: TableChange): void => {
    const one = followed.get(id);
    if (!one) return;
    const { kind, table } = one;
    const entry = table.get(key);
    objects.apply(kind, key, entry, change);
    if (credentialKinds.has(kind.name)) places.rule(`${kind.name}/${key}`, kind.name, bodyOf(entry?.object));
    if (kind.use === "pod" && entry) places.podCame(podFacts(entry.object));
  };
  const turns = createApplyTurns<TableChange>({
    ...{ apply, clock, setTimer },
    applied: (ids) => {
      followSecrets();
      options.changed();
      // Printing a large view takes its time too, so not while half of it is still to come.
      unkept ||= [...ids].some((id) => followed.get(id)?.kind.use !== "secret");
      if (unkept && !turns.busy()) {
        unkept = false;
        file.changed();
      }
      arm();
      if (!turns.busy()) options.told();
    },
  });
  const show = (one: FollowedKind): void => turns.add(idOf(one.kind), one.table.takeChanges());
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
      table.listed(fact.objects, fact.older, clock.nowMs(), fact.leftOut);
      one.listed = true;
      one.refilling = false;
      if (fact.leftOut > 0)
        log.warn("WF2290 a cluster has more objects of a kind than are read", {
          ...{ registry: named.name, kind: kind.name, leftOut: fact.leftOut, max: named.objectsMax },
        });
      if (fact.older) log.warn("a cluster went back in time", { registry: named.name, kind: kind.name });
    } else if (fact.kind === "put") table.put(fact.object);
    else if (fact.kind === "removed") {
      table.removed(objectKey(fact.object));
      refill(one);
    } else {
      one.state = fact.state;
      one.reason = fact.reason;
      // A server that says that it does not serve it is heard.
      table.heard(fact.state === "live" || fact.state === "absent", clock.nowMs());
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
    const one = followed.get(idOf(kind));
    if (!one || running.get(idOf(kind))?.path === path) return;
    running.get(idOf(kind))?.follower[Symbol.dispose]();
    const follower = followCollection({
      ...options,
      ...{
        api,
        path,
        selector: kind.selector,
        streams,
        objectsMax: named.objectsMax,
        tell: (fact: CollectionFact) => tell(one, fact),
      },
      trim: (object) => trimmed(kind.use, object),
      isKnown: (object) => one.table.get(objectKey(object)) !== undefined,
    });
    running.set(idOf(kind), { path, follower });
  };
  const end = (kind: WatchedKind): void => {
    running.get(idOf(kind))?.follower[Symbol.dispose]();
    running.delete(idOf(kind));
  };
  /** Once there is room again for a good part of what was left out. */
  const refill = (one: FollowedKind): void => {
    const path = running.get(idOf(one.kind))?.path;
    const isRoom = one.table.leftOut() > 0 && one.table.size() <= refillShare * named.objectsMax;
    if (!isRoom || path === undefined || one.refilling) return;
    one.refilling = true;
    end(one.kind);
    follow(one.kind, path);
  };
  /** Keys are read where they are needed, and forgotten where they are not any more. */
  const followSecrets = (): void => {
    if (!places.takeChanged()) return;
    const wanted = new Map([...places.namespaces()].map(secretKind).map((kind) => [idOf(kind), kind]));
    for (const [id, { kind, table }] of followed) {
      if (kind.use !== "secret" || wanted.has(id)) continue;
      end(kind);
      turns.forget(id);
      followed.delete(id);
      for (const [key] of table.entries()) objects.apply(kind, key, undefined, { listedOver: undefined });
    }
    for (const [id, kind] of wanted) {
      if (!followed.has(id)) followed.set(id, followedKind(kind, named.objectsMax));
      follow(kind, pathOf(kind, "v1"));
    }
    options.changed();
  };
  const unserved = (kind: WatchedKind): void => {
    const one = followed.get(kind.name);
    if (!one || (one.state === "absent" && !running.has(idOf(kind)))) return;
    end(kind);
    // Objects of a kind that is gone are missing, not deleted: their deletion would have been told.
    if (one.table.size() > 0) tell(one, { kind: "listed", objects: [], older: false, leftOut: 0 });
    tell(one, { kind: "state", state: "absent", reason: "the cluster does not have it" });
  };

  const storedRule = ({ key, object }: ConfigItem, gone = false): void =>
    places.rule(`stored ${key}`, object.kind, gone ? undefined : object);
  const storedChanges = options.stored.watch((changes) => {
    for (const { before, after } of changes) {
      if (before) storedRule(before, true);
      if (after) storedRule(after);
    }
    followSecrets();
  });
  for (const item of options.stored.values()) storedRule(item);
  restore(file.restored?.objects, followed);
  for (const one of followed.values()) show(one);
  if (file.restored) {
    sight.restored(file.restored.ageMs);
    log.info("began with the last good view of a cluster", { registry: named.name, ageMs: file.restored.ageMs });
  }
  for (const kind of [...coreKinds, ...settings]) follow(kind, pathOf(kind, kind.versions[0] ?? "v1"));
  followSecrets();
  const serving = followServedKinds({ ...options, api, streams, serves: follow, unserved });
  arm();
  return {
    status: () => ({
      ...sight.status(),
      ...{ name: named.name, url: named.url, events, diskProblem: file.problem(), problems: [], damped: 0, refused: 0 },
      instances: view.endpoints.size,
      services: view.services.size,
      held: new Map([["absent", heldOf(followed, objects)]]),
      leftOut: leftOutOf(followed, named.objectsMax),
      unreadable: objects.unreadable(),
    }),
    findings: () =>
      clusterFindings({ named, followed, objects, places, state: sight.status(), diskProblem: file.problem() }),
    // Keys are not on disk, and gateways that come before them would be told that there are none.
    known: () =>
      !turns.busy() &&
      sight.complete(file.restored !== undefined || serving.known(), file.restored ? "secret" : undefined),
    heard: () =>
      events.size > 0 && [...followed.values()].some(({ state }) => state !== "starting" && state !== "lost"),
    [Symbol.dispose]: () => {
      storedChanges[Symbol.dispose]();
      serving[Symbol.dispose]();
      turns[Symbol.dispose]();
      for (const { follower } of running.values()) follower[Symbol.dispose]();
      api[Symbol.dispose]();
      timer?.[Symbol.dispose]();
      file[Symbol.dispose]();
    },
  };
};

/** Of the bound: with no more objects than that, a kind that was cut is read anew. */
const refillShare = 0.9;

const followedKind = (kind: WatchedKind, objectsMax: number): FollowedKind => ({
  ...{ kind, state: "starting", reason: "", listed: false, refilling: false },
  table: createObjectTable(distrusted.has(kind.use) ? "distrusted" : "all", objectsMax),
});

const distrusted: ReadonlySet<string> = new Set(["configuration", "mesh", "secret"]);

const podsIn = function* (followed: ReadonlyMap<string, FollowedKind>): Iterable<PodFacts> {
  for (const [, { object }] of followed.get("Pod")?.table.entries() ?? []) yield podFacts(object);
};

const bodyOf = (object: KubernetesObject | undefined) =>
  object && { namespace: object.metadata.namespace ?? "", spec: object.spec };

/** Keys of secrets are not written to disk. What cannot be read is written as it was when it could. */
const keptOf = (followed: ReadonlyMap<string, FollowedKind>, { goodForm }: Pick<ClusterObjects, "goodForm">) =>
  new Map(
    [...followed]
      .filter(([, { kind }]) => kind.use !== "secret")
      .map(([name, { kind, table }]) => [
        name,
        [...table.entries()].map(([key, { object }]) => goodForm(kind, key, object)),
      ]),
  );

const restore = (
  kept: ReadonlyMap<string, readonly Parameters<ObjectTable["put"]>[0][]> | undefined,
  followed: ReadonlyMap<string, FollowedKind>,
): void => {
  for (const [name, list] of kept ?? []) followed.get(name)?.table.restore(list);
};

const leftOutOf = (followed: ReadonlyMap<string, FollowedKind>, max: number): ReadonlyMap<string, LeftOut> =>
  new Map(
    [...followed].flatMap(([id, { table }]) => {
      const count = table.leftOut();
      return count === 0 ? [] : [[id, { what: "objects", count, max }]];
    }),
  );

const heldOf = (followed: ReadonlyMap<string, FollowedKind>, objects: ClusterObjects): number =>
  [...followed.values()].reduce((sum, { table }) => sum + table.heldCount(), objects.heldSlices());

/** Kinds without which there are no endpoints. */
const vital: readonly string[] = ["Service", "EndpointSlice"];

/** Whether the cluster is in sight as a whole, since when, and how old its view is. */
const createSight = (
  { clock, log, named }: ClusterOptions,
  followed: ReadonlyMap<string, FollowedKind>,
  api: Pick<ProbedApi, "silentSinceMs">,
) => {
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
        // One that hangs was silent before it was found out.
        staleSinceMs ??= api.silentSinceMs() ?? clock.nowMs();
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
    /** All that is served, or all of that use, has been read once. */
    complete: (discovered: boolean, use?: Use): boolean =>
      discovered &&
      [...followed.values()].every(
        ({ kind, listed, state: own }) =>
          (use !== undefined && kind.use !== use) || listed || own === "absent" || own === "forbidden",
      ),
    status: () => ({
      ...{ state, reason, sinceWallMs, heardWallMs },
      ageMs: staleSinceMs === undefined ? 0 : clock.nowMs() - staleSinceMs,
    }),
  };
};

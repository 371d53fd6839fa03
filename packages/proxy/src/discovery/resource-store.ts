/**
 * Everything the sidecar was given, and what of it is in force. A cluster is put to use when its endpoints and keys
 * are here, a listener when its route tables and keys are (warming); until then the former one stays. What becomes
 * ready together takes effect together: clusters and endpoints, then routes and listeners, removals last.
 */
import type { Clock, Logger } from "@weft/core/world";
import { type ReferenceSource, sourceKey } from "@weft/xds/references";
import type { ResourceJson, ResourceKind } from "@weft/xds/resource";
import { unknownInListener, unknownInRouteTable } from "../routing/validate-clusters.ts";
import type { DataPlane, LearnedHostChange, Rejection, ResourceChange } from "../runtime/data-plane.ts";
import { createFirstRounds, isCheckedAhead } from "./first-rounds.ts";
import { type HeldResource, type Need, needsOf } from "./held-resource.ts";

export interface ResourceOffer {
  readonly name: string;
  readonly version: string;
  /** Absent: there is no such resource any more. */
  readonly json: ResourceJson[ResourceKind] | undefined;
}

export interface ResourceEntry {
  readonly active: HeldResource | undefined;
  readonly warming: HeldResource | undefined;
  /** The last version that was refused, and why. */
  readonly error: { readonly reason: string; readonly version: string; readonly atMs: number } | undefined;
}

/** Names wanted of a kind from one source. */
export interface Want {
  readonly of: ResourceKind;
  readonly source: ReferenceSource;
  readonly names: ReadonlySet<string>;
}

export interface ResourceStore {
  /** Takes what can be taken and says what cannot, and why; a refused resource stays as it was. */
  offer(source: string, of: ResourceKind, changes: readonly ResourceOffer[]): readonly Rejection[];
  /**
   * Takes one virtual host for a route table, or its removal; `whole` is that table with it, which stands in its place.
   * What it costs is the host's alone where the table is in force.
   */
  offerHost(source: string, host: LearnedHostChange, whole: ResourceJson["route"]): Rejection | undefined;
  /** Waiting for that resource makes no sense any more. */
  missing(of: ResourceKind, name: string): void;
  /** Puts to use what has waited long enough. */
  tick(): void;
  deadlineMs(): number | undefined;
  wants(): readonly Want[];
  entries(of: ResourceKind): ReadonlyMap<string, ResourceEntry>;
  /** The giver says there is no such resource, or was waited for long enough. */
  isAbsent(of: ResourceKind, name: string): boolean;
  /** Names of clusters and listeners that wait, with what for. */
  waiting(): readonly { readonly of: ResourceKind; readonly name: string; readonly needs: readonly string[] }[];
}

export interface ResourceStoreOptions {
  readonly dataPlane: Pick<DataPlane, "apply" | "check" | "checkAhead">;
  readonly clock: Clock;
  readonly log: Logger;
  /** After every batch that changed something. */
  readonly onChange?: () => void;
}

interface Slot {
  active: HeldResource | undefined;
  warming: HeldResource | undefined;
  warmingSinceMs: number;
  /** Its giver has removed it; it goes with the next batch. */
  removed: boolean;
  error: ResourceEntry["error"];
}

type Slots = Map<string, Slot>;
const batchOrder = ["secret", "cluster", "endpoints", "route", "listener"] as const satisfies readonly ResourceKind[];
const removalOrder = ["listener", "route", "cluster", "endpoints", "secret"] as const satisfies readonly ResourceKind[];

const change = (kind: ResourceKind, name: string, json: HeldResource["json"] | undefined): ResourceChange =>
  ({ kind, name, json }) as ResourceChange;

export const createResourceStore = (options: ResourceStoreOptions): ResourceStore => {
  const { dataPlane, clock, log } = options;
  const tables: ReadonlyMap<ResourceKind, Slots> = new Map(batchOrder.map((kind) => [kind, new Map() as Slots]));
  const absent = new Set<string>();
  /** Until listeners were first put to use they wait for clusters too: no request before there is where to send it. */
  let started = false;

  const table = (kind: ResourceKind): Slots => tables.get(kind) as Slots;
  const slotOf = (kind: ResourceKind, name: string): Slot => {
    const found = table(kind).get(name);
    if (found) return found;
    const made: Slot = { active: undefined, warming: undefined, warmingSinceMs: 0, removed: false, error: undefined };
    table(kind).set(name, made);
    return made;
  };

  /** Of what a server is to give only the stream knows how long was waited; unless there is nothing to lose. */
  const giveUpAt = (need: Need, { active, warmingSinceMs }: Slot): number =>
    active && need.source.kind !== "path" ? Number.POSITIVE_INFINITY : warmingSinceMs + need.timeoutMs;
  const isMet = (need: Need, waiter: Slot): boolean => {
    const slot = table(need.of).get(need.name);
    if (slot && !slot.removed && (slot.active || slot.warming)) return true;
    return absent.has(`${need.of} ${need.name}`) || clock.nowMs() >= giveUpAt(need, waiter);
  };
  const unmet = (slot: Slot): readonly Need[] => slot.warming?.needs.filter((need) => !isMet(need, slot)) ?? [];
  const firstRounds = createFirstRounds({ dataPlane, clock, onOver: () => void settle() });
  /** Checks may need keys, which are in force before what needs them. */
  const isChecked = ({ json, needs }: HeldResource): boolean => {
    if (!isCheckedAhead(json)) return true;
    const keysWait = needs.some(({ of, name }) => of === "secret" && table(of).get(name)?.warming !== undefined);
    const given = needs.find(({ of }) => of === "endpoints");
    const endpoints = given && table("endpoints").get(given.name);
    const assignment = (endpoints?.warming ?? endpoints?.active)?.json as ResourceJson["endpoints"] | undefined;
    return !keysWait && firstRounds.isOver(json, assignment);
  };
  /** Whether what warms may be put in force. */
  const isWarm = (kind: "cluster" | "listener", slot: Slot): boolean =>
    slot.warming !== undefined && unmet(slot).length === 0 && (kind === "listener" || isChecked(slot.warming));

  const needsNow = (of: ResourceKind, name: string, slot: Slot): readonly string[] => [
    ...unmet(slot).map((need) => `${need.of} ${need.name}`),
    ...(of === "cluster" && firstRounds.waitsFor(name) ? ["the first health checks"] : []),
  ];

  const refuse = (kind: ResourceKind, name: string, version: string, reason: string): Rejection => {
    const slot = table(kind).get(name);
    if (slot) slot.error = { reason, version, atMs: clock.wallMs() };
    log.warn("resource refused", { kind, name, reason });
    return { kind, name, reason };
  };

  const take = (source: string, of: ResourceKind, { name, version, json }: ResourceOffer): Rejection | undefined => {
    const owner = table(of).get(name)?.active ?? table(of).get(name)?.warming;
    if (owner && owner.source !== source) {
      return json === undefined ? undefined : { kind: of, name, reason: `already given by ${owner.source}` };
    }
    if (json === undefined) {
      remove(of, name);
      return undefined;
    }
    const rejection = refuseUnknown(of, name, json) ?? dataPlane.check(change(of, name, json));
    const slot = slotOf(of, name);
    if (rejection) return refuse(of, name, version, rejection.reason);
    absent.delete(`${of} ${name}`);
    slot.warming = { name, source, version, json, needs: needsOf(of, json), atMs: clock.wallMs() };
    slot.warmingSinceMs = clock.nowMs();
    slot.removed = false;
    slot.error = undefined;
    return undefined;
  };

  /** Clusters that still warm are known too. */
  const refuseUnknown = (kind: ResourceKind, name: string, json: object): Rejection | undefined => {
    const isKnown = (cluster: string): boolean => table("cluster").get(cluster)?.removed === false;
    const unknown =
      kind === "listener"
        ? unknownInListener(json, isKnown)
        : kind === "route"
          ? unknownInRouteTable(json, isKnown)
          : undefined;
    return unknown && { kind, name, reason: `${unknown.at}: unknown cluster "${unknown.name}"` };
  };

  const remove = (of: ResourceKind, name: string): void => {
    // Endpoints, routes and secrets stay while something uses them: the last good ones are better than none.
    if (of === "cluster" || of === "listener") {
      const slot = table(of).get(name);
      if (slot) slot.removed = true;
    } else absent.add(`${of} ${name}`);
  };

  /** What clusters and listeners, in force or about to be, refer to. */
  const needed = (slots: Slots, pick: (slot: Slot) => readonly (HeldResource | undefined)[]): Map<string, Need> => {
    const found = new Map<string, Need>();
    for (const slot of slots.values()) {
      if (slot.removed) continue;
      for (const held of pick(slot)) for (const need of held?.needs ?? []) found.set(`${need.of} ${need.name}`, need);
    }
    return found;
  };
  const allNeeds = (): Map<string, Need> => {
    const both = (slot: Slot) => [slot.active, slot.warming];
    return new Map([...needed(table("cluster"), both), ...needed(table("listener"), both)]);
  };

  const readyBatch = (): readonly (readonly [ResourceKind, HeldResource])[] => {
    const ready: [ResourceKind, HeldResource][] = [];
    const used = new Set<string>();
    const use = (kind: "cluster" | "listener", gate: boolean): void => {
      for (const slot of table(kind).values()) {
        if (slot.removed) continue;
        const becomes = gate && isWarm(kind, slot) ? slot.warming : undefined;
        if (becomes) ready.push([kind, becomes]);
        for (const { of, name } of (becomes ?? slot.active)?.needs ?? []) {
          used.add(`${of} ${name}`);
          const dependent = table(of).get(name);
          // A newly used table or endpoint list goes with its first user.
          if (becomes && of !== "secret" && dependent?.active && !dependent.warming) ready.push([of, dependent.active]);
        }
      }
    };
    use("cluster", true);
    const clustersWait = [...table("cluster").values()].some((slot) => slot.warming && !isWarm("cluster", slot));
    use("listener", started || !clustersWait);
    for (const kind of ["endpoints", "route", "secret"] as const)
      for (const [name, { warming }] of table(kind))
        if (warming && (kind === "secret" || used.has(`${kind} ${name}`))) ready.push([kind, warming]);
    const unique = new Map(ready.map((one) => [`${one[0]} ${one[1].name}`, one]));
    const rank = (kind: ResourceKind): number => batchOrder.indexOf(kind);
    return [...unique.values()].sort(([a], [b]) => rank(a) - rank(b));
  };

  const removals = (): readonly (readonly [ResourceKind, string])[] => {
    const needs = allNeeds();
    return removalOrder.flatMap((kind) =>
      [...table(kind)].flatMap(([name, slot]): (readonly [ResourceKind, string])[] => {
        if (kind === "cluster" || kind === "listener") return slot.removed ? [[kind, name]] : [];
        const owned = slot.active?.source ?? slot.warming?.source;
        const kept = kind === "secret" && (owned === "identity" || owned === "static");
        return kept || needs.has(`${kind} ${name}`) || owned === undefined ? [] : [[kind, name]];
      }),
    );
  };

  /** What a batch put to use may leave something else without a user: that goes with a batch of its own, after it. */
  const settle = (): readonly Rejection[] => {
    const rejections: Rejection[] = [];
    for (let batch = applyBatch(); batch; batch = applyBatch()) rejections.push(...batch);
    return rejections;
  };

  const applyBatch = (): readonly Rejection[] | undefined => {
    const puts = readyBatch();
    const gone = removals();
    if (puts.length === 0 && gone.length === 0) return undefined;
    const changes = puts.map(([kind, held]) => change(kind, held.name, held.json));
    const rejections = dataPlane.apply([...changes, ...gone.map(([kind, name]) => change(kind, name, undefined))]);
    const refused = new Map(rejections.map((one) => [`${one.kind} ${one.name}`, one.reason]));
    for (const [kind, held] of puts) {
      const slot = slotOf(kind, held.name);
      const reason = refused.get(`${kind} ${held.name}`);
      if (reason === undefined) slot.active = held;
      else refuse(kind, held.name, held.version, reason);
      if (slot.warming === held) slot.warming = undefined;
      if (kind === "cluster") firstRounds.end(held.name);
      if (kind === "listener") started = true;
    }
    for (const [kind, name] of gone) {
      if (kind === "cluster") firstRounds.end(name);
      table(kind).delete(name);
      absent.delete(`${kind} ${name}`);
    }
    options.onChange?.();
    return rejections;
  };

  const offer: ResourceStore["offer"] = (source, of, changes) => {
    const refused = changes.flatMap((one) => take(source, of, one) ?? []);
    const names = new Set(changes.map(({ name }) => name));
    return [...refused, ...settle().filter(({ kind, name }) => kind === of && names.has(name))];
  };

  const offerHost: ResourceStore["offerHost"] = (source, host, whole) => {
    const slot = table("route").get(host.table);
    const held = slot?.warming ?? slot?.active;
    if (!slot || held?.source !== source) return { ...host, reason: `there is no route table "${host.table}"` };
    if (slot.warming) return offer(source, "route", [{ name: host.table, version: held.version, json: whole }])[0];
    const { json } = host;
    const own = {
      name: host.table,
      validateClusters: whole.validateClusters === true,
      virtualHosts: json ? [json] : [],
    };
    const [rejection] = [refuseUnknown("route", host.table, own) ?? dataPlane.apply([host])].flat();
    if (rejection) return rejection;
    slot.active = { ...held, json: whole };
    options.onChange?.();
    return undefined;
  };

  return {
    offer,
    offerHost,
    missing: (of, name) => {
      const need = allNeeds().get(`${of} ${name}`);
      // A fetch timeout of 0 asks to wait for ever.
      if (!need || need.timeoutMs === Number.POSITIVE_INFINITY) return;
      absent.add(`${of} ${name}`);
      settle();
    },
    tick: () => {
      settle();
    },
    deadlineMs: () => {
      let first = firstRounds.deadlineMs();
      for (const kind of ["cluster", "listener"] as const)
        for (const slot of table(kind).values())
          for (const need of unmet(slot)) {
            const at = giveUpAt(need, slot);
            if (Number.isFinite(at) && (first === undefined || at < first)) first = at;
          }
      return first;
    },
    wants: () => {
      const wants = new Map<string, { of: ResourceKind; source: ReferenceSource; names: Set<string> }>();
      for (const { of, name, source } of allNeeds().values()) {
        const key = `${of} ${sourceKey(source)}`;
        const want = wants.get(key) ?? { of, source, names: new Set<string>() };
        want.names.add(name);
        wants.set(key, want);
      }
      return [...wants.values()];
    },
    entries: table,
    isAbsent: (of, name) => absent.has(`${of} ${name}`),
    waiting: () =>
      (["cluster", "listener"] as const).flatMap((of) =>
        [...table(of)].flatMap(([name, slot]) => (slot.warming ? [{ of, name, needs: needsNow(of, name, slot) }] : [])),
      ),
  };
};

/**
 * What is written of instances in the shared store that were not renewed in time. One that is gone leaves a record for as
 * long as it counts, so that whichever replica judges the next one of its service knows of it, and can take it back.
 */
import {
  asSeen,
  recordsPerWriteMax,
  type SharedPut,
  type SharedStore,
  type SharedWrite,
} from "../../store/shared/shared-store.ts";
import { holdMs } from "../outside/held-instances.ts";
import { isSuspicious, windowOf } from "./expired-instances.ts";
import type { Instance } from "./instance.ts";
import type { RegistryBook } from "./registry.ts";
import {
  aliveGroup,
  aliveRecordKey,
  endedGroup,
  endedIn,
  endedRecordKey,
  instanceRecordKey,
} from "./shared-records.ts";

/** A write for some of those that ended; its leases are still to be had. */
export interface EndPlan {
  /** Those that it is about, by the records that said that they live. */
  readonly keys: readonly string[];
  readonly seen: SharedWrite["seen"];
  readonly deletes: readonly string[];
  /** Of those gone; they count for so many seconds. */
  readonly marks: readonly SharedPut[];
  readonly markSeconds: number;
  /** Each with a lease of its own, of `holdMs`. */
  readonly held: readonly Instance[];
  readonly gone: number;
}

export interface SharedEnds extends Disposable {
  /** For as many of these as one write takes; each is without a lease. */
  plan(over: Iterable<string>): EndPlan;
}

export interface SharedEndsOptions {
  readonly store: Pick<SharedStore, "get" | "group" | "follow">;
  readonly registry: Pick<RegistryBook, "get" | "list">;
  readonly wallMs: () => number;
}

/** Judged together; whoever judges the same service at the same time finds this changed. */
const judgedGroup = "judged";
/** Comparisons, and operations, that each may take. */
const eachTakes = 3;

const serviceOfKey = (key: string): string => key.slice(key.indexOf("/") + 1, key.lastIndexOf("/"));

/** Follows the store until disposed. */
export const openSharedEnds = ({ store, registry, wallMs }: SharedEndsOptions): SharedEnds => {
  const ended = new Map<string, Set<string>>();
  const note = (key: string, isThere: boolean): void => {
    const service = serviceOfKey(key);
    const keys = ended.get(service) ?? new Set();
    if (isThere) ended.set(service, keys.add(key));
    else if (keys.delete(key) && keys.size === 0) ended.delete(service);
  };
  for (const key of store.group(endedGroup).keys()) note(key, true);
  const following = store.follow(endedGroup, (changes) => {
    for (const { key, after } of changes) note(key, after !== undefined);
  });
  /** What went lately and did not come again. */
  const endedOf = (service: string): readonly Instance[] =>
    [...(ended.get(service) ?? [])].flatMap((key) => {
      const record = store.get(key);
      const instance = record && endedIn(record);
      return instance && !registry.get(instance) ? [instance] : [];
    });
  const isLately = (one: Instance): boolean =>
    one.heldUntil !== undefined && Date.parse(one.heldUntil) - holdMs + windowOf(one) > wallMs();

  /** Those of a service that are held from now on; none where these ends are believed. */
  const heldOf = (service: string, fresh: readonly Instance[]): readonly Instance[] => {
    const [namespace = "", name = ""] = service.split("/");
    const members = registry.list({ namespace, service: name });
    const usable = members.filter(({ heldUntil }) => heldUntil === undefined).length;
    const before = endedOf(service);
    const others = before.length + members.filter(isLately).length + fresh.length - 1;
    return isSuspicious(others, usable - fresh.length + 1) ? [...before, ...fresh] : [];
  };

  return {
    plan(over) {
      const heldUntil = new Date(wallMs() + holdMs).toISOString();
      const plan = { keys: [] as string[], deletes: [] as string[], marks: [] as SharedPut[], held: [] as Instance[] };
      const seen = new Map<string, number>();
      const see = (...keys: readonly string[]): void => {
        for (const key of keys) seen.set(key, asSeen(store, key).revision);
      };
      let [room, markSeconds, gone] = [recordsPerWriteMax, 0, 0];
      for (const [service, keys] of Map.groupBy(over, serviceOfKey)) {
        const ending = keys.flatMap((key) => registry.get(refOf(key)) ?? []);
        const fresh = ending.filter((one) => one.heldUntil === undefined);
        const held = fresh.length === 0 ? [] : heldOf(service, fresh);
        const finished = ending.filter((one) => one.heldUntil !== undefined);
        const isHeld = new Set(held);
        const part = [...finished, ...(held.length > 0 ? held : fresh)].slice(0, Math.floor((room - 1) / eachTakes));
        if (part.length === 0) break;
        room -= part.length * eachTakes + 1;
        const judged = `${judgedGroup}/${service}`;
        see(judged);
        plan.marks.push({ key: judged, value: heldUntil });
        for (const one of part) {
          const [alive, instance, mark] = [aliveRecordKey(one), instanceRecordKey(one), endedRecordKey(one)];
          see(alive, instance);
          markSeconds = Math.max(markSeconds, windowOf(one) / 1_000);
          if (registry.get(one)) plan.keys.push(alive);
          if (isHeld.has(one)) {
            plan.held.push({ ...one, heldUntil });
            if (store.get(mark)) plan.deletes.push(mark);
            continue;
          }
          gone++;
          plan.deletes.push(instance);
          const { resourceVersion: _, ...kept } = one;
          if (one.heldUntil === undefined) plan.marks.push({ key: mark, value: JSON.stringify({ instance: kept }) });
        }
      }
      return { ...plan, seen: [...seen].map(([key, revision]) => ({ key, revision })), markSeconds, gone };
    },
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
};

const refOf = (key: string): { readonly namespace: string; readonly service: string; readonly id: string } => {
  const [namespace = "", service = "", id = ""] = key.slice(aliveGroup.length + 1).split("/");
  return { namespace, service, id };
};

/**
 * The embedded registry over the shared store: each replica follows the same records in the same order, so that all have
 * the same instances under the same versions. An instance that must be renewed has a lease of the store's, which runs
 * once for all of them, whoever took its last heartbeat.
 */
import { sameValue } from "@weft/core/equal";
import type { Clock } from "@weft/core/world";
import type { SharedChange } from "../../store/shared/shared-mirror.ts";
import { asSeen, isOfBefore, type SharedStore, storeUnavailable } from "../../store/shared/shared-store.ts";
import { type Instance, type InstanceRef, parseInstance } from "./instance.ts";
import { createInstanceTable, type InstanceTable, notRegistered } from "./instance-table.ts";
import { defaultRegistryLimits, type RegistryLimits } from "./limits.ts";
import { nextInstance, type RegistryBook, type RegistryEvent } from "./registry.ts";
import { createSharedLeases, ofSeveral, type TakenLease } from "./shared-leases.ts";
import { aliveRecordKey, endedRecordKey, instanceGroup, instanceIn, instanceRecordKey } from "./shared-records.ts";

export interface SharedRegistryOptions {
  readonly store: SharedStore;
  readonly clock: Clock;
  readonly limits?: Partial<RegistryLimits>;
}

/** So often a registration is tried anew because another came between. */
const attemptsMax = 12;

/** Follows the store until disposed. */
export const createSharedRegistry = (options: SharedRegistryOptions): RegistryBook & Disposable => {
  const { store, clock } = options;
  const limits: RegistryLimits = { ...defaultRegistryLimits, ...options.limits };
  const table = createInstanceTable(limits);
  for (const record of store.group(instanceGroup).values()) {
    const instance = instanceIn(record);
    if (instance) table.hold(instance);
  }
  table.startAt(store.revision());
  const following = store.follow(instanceGroup, (changes) =>
    table.publish(changes.flatMap((change) => take(table, change))),
  );
  const markOf = (ref: InstanceRef): readonly string[] => {
    const key = endedRecordKey(ref);
    return store.get(key) ? [key] : [];
  };
  /**
   * It stays until it is taken out, and is as this connection found it: in a store that has gone back it may be one that
   * was taken out, which goes again unless it is written anew.
   */
  const isUnsure = (next: Instance): boolean => next.ttlSeconds === 0 && isOfBefore(store, instanceRecordKey(next));
  const leases = createSharedLeases(store, clock);
  const isAlive = (ref: InstanceRef): boolean => store.get(aliveRecordKey(ref)) !== undefined;
  /** Its own; none where it has that of several. */
  const leaseOf = (ref: InstanceRef): string | undefined => {
    const lease = store.get(aliveRecordKey(ref))?.value;
    return lease === ofSeveral ? undefined : lease;
  };

  /** Gives an instance its whole time again, with a lease of its own where it had that of several; false: it is over. */
  const renew = async (ref: InstanceRef, ttlSeconds: number): Promise<boolean> => {
    const key = aliveRecordKey(ref);
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const record = store.get(key);
      if (!record) return false;
      if (record.value !== ofSeveral) return await store.renew(record.value);
      const { lease, value } = await leases.take(ttlSeconds);
      const seen = [{ key, revision: record.revision }];
      const outcome = await store.write({ seen, puts: [{ key, value, lease }] });
      if (outcome.kind === "written") return true;
      if (value !== ofSeveral) void store.revoke(lease);
    }
    throw storeUnavailable("others renew the same instance without end");
  };

  /** The lease before where it has the same time, which is not over, and is not that of a hold; else a new one. */
  const leaseFor = async (next: Instance, before: Instance | undefined): Promise<TakenLease | undefined> => {
    if (next.ttlSeconds === 0) return undefined;
    const isSameTime = before?.ttlSeconds === next.ttlSeconds && before.heldUntil === undefined;
    const old = isSameTime ? leaseOf(next) : undefined;
    if (old !== undefined && (await store.renew(old))) return { lease: old, value: old };
    return await leases.take(next.ttlSeconds);
  };

  const write = async (next: Instance, before: Instance | undefined): Promise<number | undefined> => {
    const key = instanceRecordKey(next);
    const alive = aliveRecordKey(next);
    const seen = [asSeen(store, key)];
    const old = leaseOf(next);
    const taken = await leaseFor(next, before);
    const { resourceVersion: _, ...instance } = next;
    const puts = [{ key, value: JSON.stringify({ instance }) }];
    // Its end before counts no more.
    const deletes = markOf(next);
    const outcome = await store.write(
      taken === undefined
        ? { seen, puts, deletes: isAlive(next) ? [...deletes, alive] : deletes }
        : { seen, puts: [...puts, { key: alive, ...taken }], deletes },
    );
    const own = taken?.value === ofSeveral ? undefined : taken?.lease;
    const unused = outcome.kind === "written" ? old : own;
    if (unused !== undefined && old !== own) void store.revoke(unused);
    return outcome.kind === "written" ? outcome.revision : undefined;
  };

  return {
    async put(ref, body, { ifMatch } = {}) {
      const spec = parseInstance(ref, body, limits);
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        table.checkVersion(ref, ifMatch);
        const before = table.get(ref);
        if (!before) table.checkRoom(spec);
        const next = nextInstance(spec, before, { table, clock });
        if (before && sameValue(before, next) && !isUnsure(next)) {
          const lives = next.ttlSeconds === 0 || (await renew(ref, next.ttlSeconds));
          if (lives) return { instance: before, created: false };
        }
        const revision = await write(next, before);
        if (revision === undefined) continue;
        return { instance: table.get(ref) ?? { ...next, resourceVersion: revision }, created: !before };
      }
      throw storeUnavailable("others register the same instance without end");
    },
    async remove(ref, { ifMatch } = {}) {
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const deletesMark = markOf(ref);
        if (!table.get(ref) && deletesMark.length > 0) await store.write({ seen: [], deletes: deletesMark });
        const instance = table.found(ref);
        table.checkVersion(ref, ifMatch);
        const lease = leaseOf(ref);
        const key = instanceRecordKey(ref);
        const deletes = isAlive(ref) ? [key, aliveRecordKey(ref)] : [key];
        const outcome = await store.write({ seen: [asSeen(store, key)], deletes });
        if (outcome.kind === "conflict") continue;
        if (lease !== undefined) void store.revoke(lease);
        return instance;
      }
      throw storeUnavailable("others register the same instance without end");
    },
    async heartbeat(ref) {
      for (let attempt = 0; attempt < attemptsMax && table.found(ref).heldUntil !== undefined; attempt++) {
        const before = table.found(ref);
        const { heldUntil: _, ...live } = before;
        await write(live, before);
      }
      const instance = table.found(ref);
      if (instance.ttlSeconds === 0 || (await renew(ref, instance.ttlSeconds))) return instance;
      // Its time is over, though it may still be seen here.
      throw notRegistered(ref);
    },
    get: table.get,
    list: table.list,
    version: table.version,
    watch: table.watch,
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
};

const take = (table: InstanceTable, { key, after, revision }: SharedChange): readonly RegistryEvent[] => {
  const before = table.instances.get(key.slice(instanceGroup.length + 1));
  const instance = after && instanceIn(after);
  if (instance) {
    table.hold(instance);
    return [{ type: before ? "MODIFIED" : "ADDED", object: instance, resourceVersion: revision }];
  }
  if (!before) return [];
  table.release(before);
  return [{ type: "DELETED", object: before, resourceVersion: revision }];
};

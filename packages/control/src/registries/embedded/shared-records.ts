/** How instances are in the shared store: what they are in one record, and in another, under a lease, that they live. */
import type { SharedRecord } from "../../store/shared/shared-mirror.ts";
import { jsonOf, type SharedStore } from "../../store/shared/shared-store.ts";
import type { Instance, InstanceRef } from "./instance.ts";
import { instanceKey } from "./instance-table.ts";

export const instanceGroup = "instances";
/** Of those that have to be renewed; the value is the lease's id. Without a lease their time is over. */
export const aliveGroup = "alive";

export const instanceRecordKey = (ref: InstanceRef): string => `${instanceGroup}/${instanceKey(ref)}`;
export const aliveRecordKey = (ref: InstanceRef): string => `${aliveGroup}/${instanceKey(ref)}`;

/** `undefined` for a record that nobody of this version wrote. */
export const instanceIn = (record: SharedRecord): Instance | undefined => {
  const { instance } = (jsonOf(record) ?? {}) as { instance?: Partial<Instance> };
  if (typeof instance !== "object" || instance === null || !Array.isArray(instance.ports)) return undefined;
  if (instanceRecordKey(instance as InstanceRef) !== record.key) return undefined;
  return { ...(instance as Instance), resourceVersion: record.revision };
};

/** By the key of the record that says that an instance lives. */
export interface AliveRecords {
  instanceAt(key: string): string;
  /** 0 where there is no such instance, or it need not be renewed. */
  ttlOf(key: string): number;
  /** The instance has to be renewed, and has no lease. */
  isWithout(key: string): boolean;
  withoutLease(): readonly string[];
}

export const aliveRecords = (store: Pick<SharedStore, "get" | "group">): AliveRecords => {
  /** Records never change: each is read once. */
  const ttls = new WeakMap<SharedRecord, number>();
  const instanceAt = (key: string): string => instanceGroup + key.slice(aliveGroup.length);
  const ttlIn = (record: SharedRecord): number => {
    const known = ttls.get(record);
    if (known !== undefined) return known;
    const { ttlSeconds = 0 } = instanceIn(record) ?? {};
    ttls.set(record, ttlSeconds);
    return ttlSeconds;
  };
  const ttlOf = (key: string): number => {
    const record = store.get(instanceAt(key));
    return record === undefined ? 0 : ttlIn(record);
  };
  const isWithout = (key: string): boolean => store.get(key) === undefined && ttlOf(key) > 0;
  return {
    instanceAt,
    ttlOf,
    isWithout,
    withoutLease: () =>
      [...store.group(instanceGroup).keys()]
        .map((key) => aliveGroup + key.slice(instanceGroup.length))
        .filter(isWithout),
  };
};

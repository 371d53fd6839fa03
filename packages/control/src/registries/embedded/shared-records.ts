/** How instances are in the shared store: what they are in one record, and in another, under a lease, that they live. */
import type { SharedRecord } from "../../store/shared/shared-mirror.ts";
import { jsonOf, type SharedStore } from "../../store/shared/shared-store.ts";
import type { Instance, InstanceRef } from "./instance.ts";
import { instanceKey } from "./instance-table.ts";

export const instanceGroup = "instances";
/** Of those that have to be renewed; the value is the lease's id. Without a lease their time is over. */
export const aliveGroup = "alive";

/** Of those that are gone because they were not renewed, as they were; for as long as that counts. */
export const endedGroup = "ended";

export const instanceRecordKey = (ref: InstanceRef): string => `${instanceGroup}/${instanceKey(ref)}`;
export const aliveRecordKey = (ref: InstanceRef): string => `${aliveGroup}/${instanceKey(ref)}`;

export const endedRecordKey = (ref: InstanceRef): string => `${endedGroup}/${instanceKey(ref)}`;

/** `undefined` for a record that nobody of this version wrote. */
export const instanceIn = (record: SharedRecord): Instance | undefined => {
  const instance = instanceAs(record);
  return instance && instanceRecordKey(instance) === record.key ? instance : undefined;
};
/** As `instanceIn`, of one that is gone. */
export const endedIn = (record: SharedRecord): Instance | undefined => {
  const instance = instanceAs(record);
  return instance && endedRecordKey(instance) === record.key ? instance : undefined;
};

const instanceAs = (record: SharedRecord): Instance | undefined => {
  const { instance } = (jsonOf(record) ?? {}) as { instance?: Partial<Instance> };
  if (typeof instance !== "object" || instance === null || !Array.isArray(instance.ports)) return undefined;
  return { ...(instance as Instance), resourceVersion: record.revision };
};

/** By the key of the record that says that an instance lives. */
export interface AliveRecords {
  instanceAt(key: string): string;
  instanceOf(key: string): Instance | undefined;
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
    instanceOf(key) {
      const record = store.get(instanceAt(key));
      return record && instanceIn(record);
    },
    ttlOf,
    isWithout,
    withoutLease: () =>
      [...store.group(instanceGroup).keys()]
        .map((key) => aliveGroup + key.slice(instanceGroup.length))
        .filter(isWithout),
  };
};

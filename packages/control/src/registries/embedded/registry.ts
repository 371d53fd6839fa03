/**
 * The embedded registry: who is there, under which service, since which version. Pure but for its store: time comes as
 * an argument, and `tick` must be called at `deadlineMs`.
 */

import { sameValue } from "@weft/core/equal";
import type { Clock } from "@weft/core/world";
import { createExpiry } from "./expiry.ts";
import { type Instance, type InstanceRef, type InstanceSpec, parseInstance } from "./instance.ts";
import { createInstanceTable, type InstanceTable, instanceKey } from "./instance-table.ts";
import { defaultRegistryLimits, type RegistryLimits } from "./limits.ts";
import type { RegistryStore } from "./store.ts";

export interface RegistryEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Instance;
  readonly resourceVersion: number;
}

export interface EmbeddedRegistry {
  /** Registers or replaces. An equal registration renews and changes no version. `ifMatch` 0 means: must not exist. */
  put(
    ref: InstanceRef,
    body: unknown,
    options?: { readonly ifMatch?: number },
  ): { readonly instance: Instance; readonly created: boolean };
  remove(ref: InstanceRef, options?: { readonly ifMatch?: number }): Instance;
  /** Renews an instance's life. Refuses (WF8003) one that is not there: it must register again. */
  heartbeat(ref: InstanceRef): Instance;
  get(ref: InstanceRef): Instance | undefined;
  /** In the order of namespace, service and id. */
  list(filter?: { readonly namespace?: string; readonly service?: string }): readonly Instance[];
  /** The version of the newest change. */
  version(): number;
  /**
   * Calls `tell` for what came after `since`, at once, then for each later change; without `since` first for every
   * instance as ADDED. Refuses (WF8005) a `since` older than the history kept, or from another registry's future.
   */
  watch(options: { readonly since?: number }, tell: (event: RegistryEvent) => void): Disposable;
  /** Removes instances that were not renewed in time. */
  tick(): readonly Instance[];
  /** When `tick` is next due, on the monotonic clock. */
  deadlineMs(): number | undefined;
}

/** HTTP status of each refusal. */
export const registryStatus: ReadonlyMap<string, number> = new Map([
  ["WF8001", 400],
  ["WF8002", 422],
  ["WF8003", 404],
  ["WF8004", 412],
  ["WF8005", 410],
]);

/** A change that may have to go to others first. */
export type Later<T> = T | Promise<T>;

/** The registry as the API and the model use it: reading is at once, a change may take its time. */
export interface RegistryBook extends Pick<EmbeddedRegistry, "get" | "list" | "version" | "watch"> {
  put(...args: Parameters<EmbeddedRegistry["put"]>): Later<ReturnType<EmbeddedRegistry["put"]>>;
  remove(...args: Parameters<EmbeddedRegistry["remove"]>): Later<Instance>;
  heartbeat(ref: InstanceRef): Later<Instance>;
}

const versionKey = "meta/version";
const instancePrefix = "instance/";

export const createEmbeddedRegistry = (options: {
  readonly store: RegistryStore;
  readonly clock: Clock;
  readonly limits?: Partial<RegistryLimits>;
}): EmbeddedRegistry => {
  const { store, clock } = options;
  const limits: RegistryLimits = { ...defaultRegistryLimits, ...options.limits };
  const table = createInstanceTable(limits);
  const { instances } = table;
  const renewed = new Map<string, number>();
  const expiry = createExpiry();

  const deadlineOf = (key: string): number | undefined => {
    const instance = instances.get(key);
    if (!instance || instance.ttlSeconds === 0) return undefined;
    return (renewed.get(key) ?? 0) + instance.ttlSeconds * 1000;
  };

  const hold = (instance: Instance): void => {
    const key = instanceKey(instance);
    table.hold(instance);
    if (instance.ttlSeconds === 0) return;
    renewed.set(key, clock.nowMs());
    expiry.add(key, clock.nowMs() + instance.ttlSeconds * 1000);
  };

  // Nobody could renew while the registry was down, so each gets its whole time again.
  for (const { key, value } of store.load()) {
    if (key === versionKey) table.startAt(Number(value));
    else if (key.startsWith(instancePrefix)) hold(JSON.parse(value) as Instance);
  }

  const drop = (gone: readonly Instance[]): void => {
    if (gone.length === 0) return;
    const events = gone.map((instance, at): RegistryEvent => {
      return { type: "DELETED", object: instance, resourceVersion: table.version() + at + 1 };
    });
    store.write([
      ...gone.map((instance) => ({ key: instancePrefix + instanceKey(instance), value: undefined })),
      { key: versionKey, value: String(table.version() + gone.length) },
    ]);
    for (const instance of gone) {
      renewed.delete(instanceKey(instance));
      table.release(instance);
    }
    table.publish(events);
  };

  return {
    put(ref, body, { ifMatch } = {}) {
      const spec = parseInstance(ref, body, limits);
      table.checkVersion(ref, ifMatch);
      const before = instances.get(instanceKey(ref));
      if (!before) table.checkRoom(spec);
      const next = nextInstance(spec, before, { table, clock });
      if (before && sameValue(before, next)) {
        renewed.set(instanceKey(ref), clock.nowMs());
        return { instance: before, created: false };
      }
      const version = table.version() + 1;
      const instance = { ...next, resourceVersion: version };
      store.write([
        { key: instancePrefix + instanceKey(ref), value: JSON.stringify(instance) },
        { key: versionKey, value: String(version) },
      ]);
      hold(instance);
      table.publish([{ type: before ? "MODIFIED" : "ADDED", object: instance, resourceVersion: version }]);
      return { instance, created: !before };
    },
    remove(ref, { ifMatch } = {}) {
      const instance = table.found(ref);
      table.checkVersion(ref, ifMatch);
      drop([instance]);
      return instance;
    },
    heartbeat(ref) {
      const instance = table.found(ref);
      if (instance.ttlSeconds > 0) renewed.set(instanceKey(ref), clock.nowMs());
      return instance;
    },
    get: table.get,
    list: table.list,
    version: table.version,
    watch: table.watch,
    tick() {
      const due = expiry.due(clock.nowMs(), deadlineOf);
      const gone = due.flatMap((key) => instances.get(key) ?? []);
      drop(gone);
      return gone;
    },
    deadlineMs: () => expiry.nextMs(),
  };
};

/** The instance that a registration makes; where nothing changes it equals the one before. */
export const nextInstance = (
  spec: InstanceSpec,
  before: Instance | undefined,
  { table, clock }: { readonly table: InstanceTable; readonly clock: Clock },
): Instance => ({
  ...spec,
  ports: table.servicePorts(spec),
  registeredAt: before?.registeredAt ?? new Date(clock.wallMs()).toISOString(),
  resourceVersion: before?.resourceVersion ?? 0,
});

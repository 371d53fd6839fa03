/**
 * The embedded registry: who is there, under which service, since which version. Pure but for its store: time comes as
 * an argument, and `tick` must be called at `deadlineMs`.
 */

import { sameValue } from "@weft/core/equal";
import { WeftError } from "@weft/core/error";
import type { Clock } from "@weft/core/world";
import { holdMs } from "../outside/held-instances.ts";
import { createExpiredInstances } from "./expired-instances.ts";
import { createExpiry } from "./expiry.ts";
import { type Instance, type InstanceRef, type InstanceSpec, isIpAddress, parseInstance } from "./instance.ts";
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
  /** Renews an instance's life; a held one is live again. Refuses (WF8003) one that is not there: it must register again. */
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
  /**
   * Removes instances that were not renewed in time, and says which. Where they are more than half of a service they are
   * held first, with those that went just before.
   */
  tick(): readonly Instance[];
  /** When `tick` is next due, on the monotonic clock. */
  deadlineMs(): number | undefined;
  /**
   * Keeps all changes that `run` makes in one write, and publishes them after it. Where they cannot be kept none of them
   * is made, and WF2260 says why.
   */
  together<T>(run: () => T): T;
}

/** HTTP status of each refusal. */
export const registryStatus: ReadonlyMap<string, number> = new Map([
  ["WF8001", 400],
  ["WF8002", 422],
  ["WF8003", 404],
  ["WF8004", 412],
  ["WF8005", 410],
  ["WF2260", 503],
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

/** Changes that are made here and not kept yet. */
interface Pending {
  readonly entries: Map<string, string | undefined>;
  readonly events: RegistryEvent[];
  /** What takes each back, in their order. */
  readonly undo: (() => void)[];
}

const notKept = (cause: unknown): WeftError =>
  new WeftError("WF2260", `the registry cannot keep a change: ${cause instanceof Error ? cause.message : cause}`, {
    ...{ cause, next: "make room where the data folder is, or see to its disk; what is registered stays in force" },
  });

export const createEmbeddedRegistry = (options: {
  readonly store: RegistryStore;
  readonly clock: Clock;
  readonly limits?: Partial<RegistryLimits>;
  /** Told of each record that was kept and cannot be read; the others stand. */
  readonly damaged?: (key: string) => void;
}): EmbeddedRegistry => {
  const { store, clock, damaged = () => {} } = options;
  const limits: RegistryLimits = { ...defaultRegistryLimits, ...options.limits };
  const table = createInstanceTable(limits);
  const { instances } = table;
  /** When the life of each ends that has to renew it, or that is held. */
  const ends = new Map<string, number>();
  const expiry = createExpiry();
  const expired = createExpiredInstances();
  let pending: Pending | undefined;
  /** Records of instances that are gone or held, and could not be written as such. */
  const owed = new Map<string, string | undefined>();

  const endOf = (instance: Instance): number => clock.nowMs() + leftMs(instance, clock.wallMs());
  const hold = (instance: Instance): void => {
    const key = instanceKey(instance);
    expired.replaced(instances.get(key), instance);
    table.hold(instance);
    const endMs = endOf(instance);
    ends.set(key, endMs);
    if (instance.ttlSeconds > 0) expiry.add(key, endMs);
    else ends.delete(key);
  };

  // Nobody could renew while the registry was down, so each gets its whole time again.
  for (const { key, value } of store.load()) {
    if (key === versionKey && /^\d{1,15}$/.test(value)) table.startAt(Number(value));
    if (!key.startsWith(instancePrefix)) continue;
    const instance = keptInstance(key, value);
    if (instance) hold(instance);
    else damaged(key.slice(instancePrefix.length));
  }

  const keep = ({ entries }: Pending): void => {
    for (const [key, value] of owed) if (!entries.has(key)) entries.set(key, value);
    try {
      store.write([...entries].map(([key, value]) => ({ key, value })));
    } catch (error) {
      throw notKept(error);
    }
    owed.clear();
  };
  const together = <T>(run: () => T): T => {
    if (pending) return run();
    const own: Pending = { entries: new Map(), events: [], undo: [] };
    pending = own;
    try {
      const result = run();
      if (own.events.length > 0) keep(own);
      pending = undefined;
      table.publish(own.events);
      return result;
    } catch (error) {
      pending = undefined;
      for (const back of own.undo.reverse()) back();
      throw error;
    }
  };
  const nextVersion = (): number => (pending?.events.at(-1)?.resourceVersion ?? table.version()) + 1;
  /** Only within `together`. */
  const change = (event: RegistryEvent, undo: () => void): void => {
    const { type, object, resourceVersion } = event;
    const key = instancePrefix + instanceKey(object);
    pending?.entries.set(key, type === "DELETED" ? undefined : JSON.stringify(object));
    pending?.entries.set(versionKey, String(resourceVersion));
    pending?.events.push(event);
    pending?.undo.push(undo);
  };
  const forget = (instance: Instance): void => {
    ends.delete(instanceKey(instance));
    expired.replaced(instance, undefined);
    table.release(instance);
  };
  /** Puts back what was there before a change, with the end it had. */
  const restoring = (key: string): (() => void) => {
    const [before, endMs] = [instances.get(key), ends.get(key)];
    return () => {
      const now = instances.get(key);
      if (now) forget(now);
      if (before) hold(before);
      if (endMs !== undefined) ends.set(key, endMs);
    };
  };
  const drop = (instance: Instance): void => {
    const undo = restoring(instanceKey(instance));
    forget(instance);
    change({ type: "DELETED", object: instance, resourceVersion: nextVersion() }, undo);
  };
  const set = (given: Instance): Instance => {
    const [key, resourceVersion] = [instanceKey(given), nextVersion()];
    const type = instances.has(key) ? "MODIFIED" : "ADDED";
    const object = { ...given, resourceVersion };
    const undo = restoring(key);
    hold(object);
    change({ type, object, resourceVersion }, undo);
    return object;
  };
  const hasRoom = (instance: Instance): boolean => {
    if (instances.has(instanceKey(instance))) return true;
    try {
      table.checkRoom(instance);
      return true;
    } catch {
      return false;
    }
  };
  /** Makes a change although it cannot be kept: after a restart those that ended may have one more of their times. */
  const changeUnkept = (gone: readonly Instance[], held: readonly Instance[]): void => {
    let resourceVersion = table.version();
    const events: RegistryEvent[] = [];
    for (const object of gone) {
      forget(object);
      owed.set(instancePrefix + instanceKey(object), undefined);
      events.push({ type: "DELETED", object, resourceVersion: ++resourceVersion });
    }
    for (const given of held.filter(hasRoom)) {
      const object = { ...given, resourceVersion: ++resourceVersion };
      const type = instances.has(instanceKey(given)) ? "MODIFIED" : "ADDED";
      hold(object);
      owed.set(instancePrefix + instanceKey(given), JSON.stringify(object));
      events.push({ type, object, resourceVersion });
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
      expired.forget(instanceKey(ref));
      if (before && sameValue(before, next)) {
        if (before.ttlSeconds > 0) ends.set(instanceKey(ref), endOf(before));
        return { instance: before, created: false };
      }
      return together(() => ({ instance: set(next), created: !before }));
    },
    remove(ref, { ifMatch } = {}) {
      expired.forget(instanceKey(ref));
      const instance = table.found(ref);
      table.checkVersion(ref, ifMatch);
      together(() => drop(instance));
      return instance;
    },
    heartbeat(ref) {
      const instance = table.found(ref);
      if (instance.heldUntil !== undefined) {
        const { heldUntil: _, ...live } = instance;
        const renewed = together(() => set(live));
        expired.forget(instanceKey(ref));
        return renewed;
      }
      if (instance.ttlSeconds > 0) ends.set(instanceKey(ref), endOf(instance));
      return instance;
    },
    get: table.get,
    list: table.list,
    version: table.version,
    watch: table.watch,
    tick() {
      const due = expiry.due(clock.nowMs(), (key) => ends.get(key)).flatMap((key) => instances.get(key) ?? []);
      const isHeld = ({ heldUntil }: Instance): boolean => heldUntil !== undefined;
      const verdict = expired.judge(
        due.filter((one) => !isHeld(one)),
        clock.nowMs(),
      );
      const heldUntil = new Date(clock.wallMs() + holdMs).toISOString();
      const held = verdict.held.map((one) => ({ ...one, heldUntil }));
      const gone = [...due.filter(isHeld), ...verdict.gone];
      try {
        together(() => {
          gone.forEach(drop);
          for (const one of held) if (hasRoom(one)) set(one);
        });
      } catch {
        changeUnkept(gone, held);
      }
      return gone;
    },
    deadlineMs: () => expiry.nextMs(),
    together,
  };
};

/** `undefined` for a record that was damaged. */
const keptInstance = (key: string, value: string): Instance | undefined => {
  try {
    const instance = JSON.parse(value) as Instance;
    const { address, ports, labels, metadata, weight, ttlSeconds, resourceVersion, heldUntil } = instance;
    const isWhole =
      instancePrefix + instanceKey(instance) === key &&
      isIpAddress(address) &&
      [weight, ttlSeconds, resourceVersion, ...ports.map(({ port }) => port)].every(Number.isInteger) &&
      [labels, metadata].every((texts) => Object.values(texts).every((text) => typeof text === "string")) &&
      (heldUntil === undefined || !Number.isNaN(Date.parse(heldUntil)));
    return isWhole ? instance : undefined;
  } catch {
    return undefined;
  }
};

/** What is left of an instance's life. One that is held has its time to live once more in any case, as it may be a restart. */
const leftMs = ({ ttlSeconds, heldUntil }: Instance, wallMs: number): number => {
  if (heldUntil === undefined) return ttlSeconds * 1_000;
  return Math.min(holdMs, Math.max(ttlSeconds * 1_000, Date.parse(heldUntil) - wallMs));
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

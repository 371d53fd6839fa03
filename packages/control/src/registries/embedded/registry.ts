/**
 * The embedded registry: who is there, under which service, since which version. Pure but for its store: time comes as
 * an argument, and `tick` must be called at `deadlineMs`.
 */

import { sameValue } from "@weft/core/equal";
import { WeftError } from "@weft/core/error";
import type { Clock } from "@weft/core/world";
import { createExpiry } from "./expiry.ts";
import {
  checkRef,
  type Instance,
  type InstancePort,
  type InstanceRef,
  type InstanceSpec,
  parseInstance,
} from "./instance.ts";
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

const versionKey = "meta/version";
const instancePrefix = "instance/";

export const instanceKey = ({ namespace, service, id }: InstanceRef): string => `${namespace}/${service}/${id}`;

export const createEmbeddedRegistry = (options: {
  readonly store: RegistryStore;
  readonly clock: Clock;
  readonly limits?: Partial<RegistryLimits>;
}): EmbeddedRegistry => {
  const { store, clock } = options;
  const limits: RegistryLimits = { ...defaultRegistryLimits, ...options.limits };
  const instances = new Map<string, Instance>();
  const services = new Map<string, Set<string>>();
  const renewed = new Map<string, number>();
  const expiry = createExpiry();
  const history: RegistryEvent[] = [];
  const watchers = new Set<(event: RegistryEvent) => void>();
  let version = 0;
  /** Changes before this version are not in the history. */
  let historyFrom = 0;

  const deadlineOf = (key: string): number | undefined => {
    const instance = instances.get(key);
    if (!instance || instance.ttlSeconds === 0) return undefined;
    return (renewed.get(key) ?? 0) + instance.ttlSeconds * 1000;
  };

  const hold = (instance: Instance): void => {
    const key = instanceKey(instance);
    instances.set(key, instance);
    const name = `${instance.namespace}/${instance.service}`;
    const members = services.get(name) ?? new Set();
    services.set(name, members.add(key));
    if (instance.ttlSeconds === 0) return;
    renewed.set(key, clock.nowMs());
    expiry.add(key, clock.nowMs() + instance.ttlSeconds * 1000);
  };

  const release = (instance: Instance): void => {
    const key = instanceKey(instance);
    instances.delete(key);
    renewed.delete(key);
    const name = `${instance.namespace}/${instance.service}`;
    const members = services.get(name);
    members?.delete(key);
    if (members?.size === 0) services.delete(name);
  };

  // Nobody could renew while the registry was down, so each gets its whole time again.
  for (const { key, value } of store.load()) {
    if (key === versionKey) version = Number(value);
    else if (key.startsWith(instancePrefix)) hold(JSON.parse(value) as Instance);
  }
  historyFrom = version;

  const publish = (events: readonly RegistryEvent[]): void => {
    for (const event of events) {
      history.push(event);
      for (const tell of watchers) tell(event);
    }
    if (history.length > limits.historyMax * 2) {
      const gone = history.splice(0, history.length - limits.historyMax);
      historyFrom = gone.at(-1)?.resourceVersion ?? historyFrom;
    }
  };

  const found = (ref: InstanceRef): Instance => {
    checkRef(ref);
    const instance = instances.get(instanceKey(ref));
    if (!instance)
      throw new WeftError("WF8003", `instance ${instanceKey(ref)} is not registered`, { next: "register it with PUT" });
    return instance;
  };

  const checkVersion = (ref: InstanceRef, ifMatch: number | undefined): void => {
    const have = instances.get(instanceKey(ref))?.resourceVersion ?? 0;
    if (ifMatch === undefined || ifMatch === have) return;
    const is = have === 0 ? "does not exist" : `has version ${have}`;
    throw new WeftError("WF8004", `instance ${instanceKey(ref)} ${is}, not version ${ifMatch}`, {
      next: "read it again",
    });
  };

  /** The port clients call: as given, as the service's other instances have it under that name, else the application's. */
  const withServicePorts = (spec: InstanceSpec): readonly InstancePort[] => {
    const peers = [...(services.get(`${spec.namespace}/${spec.service}`) ?? [])]
      .filter((key) => key !== instanceKey(spec))
      .flatMap((key) => instances.get(key)?.ports ?? []);
    return spec.ports.map((port) => ({
      ...port,
      servicePort: port.servicePort ?? peers.find(({ name }) => name === port.name)?.servicePort ?? port.appPort,
    }));
  };

  const checkRoom = (spec: InstanceSpec): void => {
    const name = `${spec.namespace}/${spec.service}`;
    if (instances.size >= limits.instancesMax) {
      throw new WeftError("WF8002", `the registry is full: it holds ${limits.instancesMax} instances`);
    }
    if ((services.get(name)?.size ?? 0) >= limits.instancesPerServiceMax) {
      throw new WeftError("WF8002", `service ${name} has its most, ${limits.instancesPerServiceMax} instances`);
    }
  };

  const drop = (gone: readonly Instance[]): readonly RegistryEvent[] => {
    if (gone.length === 0) return [];
    const events = gone.map((instance): RegistryEvent => {
      version++;
      return { type: "DELETED", object: instance, resourceVersion: version };
    });
    store.write([
      ...gone.map((instance) => ({ key: instancePrefix + instanceKey(instance), value: undefined })),
      { key: versionKey, value: String(version) },
    ]);
    for (const instance of gone) release(instance);
    publish(events);
    return events;
  };

  return {
    put(ref, body, { ifMatch } = {}) {
      const spec = parseInstance(ref, body, limits);
      checkVersion(ref, ifMatch);
      const before = instances.get(instanceKey(ref));
      if (!before) checkRoom(spec);
      const next: Instance = {
        ...spec,
        ports: withServicePorts(spec),
        registeredAt: before?.registeredAt ?? new Date(clock.wallMs()).toISOString(),
        resourceVersion: before?.resourceVersion ?? 0,
      };
      if (before && sameValue(before, next)) {
        renewed.set(instanceKey(ref), clock.nowMs());
        return { instance: before, created: false };
      }
      const instance = { ...next, resourceVersion: version + 1 };
      store.write([
        { key: instancePrefix + instanceKey(ref), value: JSON.stringify(instance) },
        { key: versionKey, value: String(version + 1) },
      ]);
      version++;
      hold(instance);
      publish([{ type: before ? "MODIFIED" : "ADDED", object: instance, resourceVersion: version }]);
      return { instance, created: !before };
    },
    remove(ref, { ifMatch } = {}) {
      const instance = found(ref);
      checkVersion(ref, ifMatch);
      drop([instance]);
      return instance;
    },
    heartbeat(ref) {
      const instance = found(ref);
      if (instance.ttlSeconds > 0) renewed.set(instanceKey(ref), clock.nowMs());
      return instance;
    },
    get: (ref) => instances.get(instanceKey(ref)),
    list({ namespace, service } = {}) {
      const keys =
        namespace !== undefined && service !== undefined
          ? (services.get(`${namespace}/${service}`) ?? [])
          : instances.keys();
      return [...keys]
        .sort()
        .flatMap((key) => instances.get(key) ?? [])
        .filter(
          (one) =>
            (namespace === undefined || one.namespace === namespace) &&
            (service === undefined || one.service === service),
        );
    },
    version: () => version,
    watch({ since }, tell) {
      if (since !== undefined && (since < historyFrom || since > version)) {
        throw new WeftError("WF8005", `changes since version ${since} are not kept; they begin at ${historyFrom}`, {
          next: "watch again without since",
        });
      }
      if (since === undefined) {
        for (const object of instances.values())
          tell({ type: "ADDED", object, resourceVersion: object.resourceVersion });
      } else for (const event of history) if (event.resourceVersion > since) tell(event);
      watchers.add(tell);
      return { [Symbol.dispose]: () => void watchers.delete(tell) };
    },
    tick() {
      const due = expiry.due(clock.nowMs(), deadlineOf);
      const gone = due.flatMap((key) => instances.get(key) ?? []);
      drop(gone);
      return gone;
    },
    deadlineMs: () => expiry.nextMs(),
  };
};

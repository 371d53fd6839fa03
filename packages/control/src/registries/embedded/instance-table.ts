/** Who is registered, as it is known here: instances by key and by service, their history, and who follows it. Pure. */
import { WeftError } from "@weft/core/error";
import { asTold, createChangeHistory } from "./change-history.ts";
import { checkRef, type Instance, type InstancePort, type InstanceRef, type InstanceSpec } from "./instance.ts";
import type { RegistryLimits } from "./limits.ts";
import type { RegistryEvent } from "./registry.ts";

export const instanceKey = ({ namespace, service, id }: InstanceRef): string => `${namespace}/${service}/${id}`;

export const notRegistered = (ref: InstanceRef): WeftError =>
  new WeftError("WF8003", `instance ${instanceKey(ref)} is not registered`, { next: "register it with PUT" });

export interface InstanceTable {
  readonly instances: ReadonlyMap<string, Instance>;
  /** Version of the newest change. */
  version(): number;
  /** The version a start found: changes before it are not in the history. */
  startAt(version: number): void;
  hold(instance: Instance): void;
  release(instance: Instance): void;
  /** Tells those who follow, in order, and remembers for those who come back. */
  publish(events: readonly RegistryEvent[]): void;
  /** Throws WF8003. */
  found(ref: InstanceRef): Instance;
  get(ref: InstanceRef): Instance | undefined;
  list(filter?: { readonly namespace?: string; readonly service?: string }): readonly Instance[];
  watch(options: { readonly since?: number }, tell: (event: RegistryEvent) => void): Disposable;
  /** Throws WF8004 where the instance has another version; 0 means there must be none. */
  checkVersion(ref: InstanceRef, ifMatch: number | undefined): void;
  /** Throws WF8002 where one more does not fit. */
  checkRoom(spec: InstanceSpec): void;
  /** The port clients call: as given, as the service's other instances have it under that name, else the application's. */
  servicePorts(spec: InstanceSpec): readonly InstancePort[];
}

export const createInstanceTable = (limits: RegistryLimits): InstanceTable => {
  const instances = new Map<string, Instance>();
  const services = new Map<string, Set<string>>();
  const history = createChangeHistory<RegistryEvent>(limits.historyMax);
  const watchers = new Set<(event: RegistryEvent) => void>();
  const serviceOf = ({ namespace, service }: Pick<Instance, "namespace" | "service">): string =>
    `${namespace}/${service}`;

  return {
    instances,
    version: history.version,
    startAt: history.startAt,
    hold(instance) {
      const key = instanceKey(instance);
      instances.set(key, instance);
      const name = serviceOf(instance);
      const members = services.get(name) ?? new Set();
      services.set(name, members.add(key));
    },
    release(instance) {
      const key = instanceKey(instance);
      instances.delete(key);
      const members = services.get(serviceOf(instance));
      members?.delete(key);
      if (members?.size === 0) services.delete(serviceOf(instance));
    },
    publish(events) {
      for (const event of history.add(events)) for (const tell of watchers) tell(event);
    },
    found(ref) {
      checkRef(ref);
      const instance = instances.get(instanceKey(ref));
      if (instance) return instance;
      throw notRegistered(ref);
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
    watch({ since }, tell) {
      const missed = since === undefined ? asAdded(instances.values()) : history.since(since);
      if (!missed) {
        throw new WeftError("WF8005", `changes since version ${since} are not kept; they begin at ${history.from()}`, {
          next: "watch again without since",
        });
      }
      for (const event of missed) tell(event);
      watchers.add(tell);
      return { [Symbol.dispose]: () => void watchers.delete(tell) };
    },
    checkVersion(ref, ifMatch) {
      const have = instances.get(instanceKey(ref))?.resourceVersion ?? 0;
      if (ifMatch === undefined || ifMatch === have) return;
      const is = have === 0 ? "does not exist" : `has version ${have}`;
      throw new WeftError("WF8004", `instance ${instanceKey(ref)} ${is}, not version ${ifMatch}`, {
        next: "read it again",
      });
    },
    checkRoom(spec) {
      if (instances.size >= limits.instancesMax) {
        throw new WeftError("WF8002", `the registry is full: it holds ${limits.instancesMax} instances`);
      }
      if ((services.get(serviceOf(spec))?.size ?? 0) >= limits.instancesPerServiceMax) {
        const name = serviceOf(spec);
        throw new WeftError("WF8002", `service ${name} has its most, ${limits.instancesPerServiceMax} instances`);
      }
    },
    servicePorts(spec) {
      const own = instanceKey(spec);
      const ofPeers = (wanted: string): number | undefined => {
        for (const key of services.get(serviceOf(spec)) ?? []) {
          const found = key === own ? undefined : instances.get(key)?.ports.find(({ name }) => name === wanted);
          if (found) return found.servicePort;
        }
        return undefined;
      };
      return spec.ports.map((port) => ({
        ...port,
        servicePort: port.servicePort ?? ofPeers(port.name) ?? port.appPort,
      }));
    },
  };
};

/** In the order of their versions, so that who is cut off between them can go on. */
const asAdded = (instances: Iterable<Instance>): readonly RegistryEvent[] => {
  const inOrder = [...instances].sort((a, b) => a.resourceVersion - b.resourceVersion);
  return asTold(
    inOrder.map((object): RegistryEvent => ({ type: "ADDED", object, resourceVersion: object.resourceVersion })),
    0,
  );
};

/** Services and instances as last read, within bounds. */
import type { SourceInstance } from "../outside/source-events.ts";
import type { ZookeeperLimits } from "./limits.ts";

export interface Service {
  readonly name: string;
  /** By the names of their nodes; `undefined` until one was read well. */
  readonly instances: Map<string, SourceInstance | undefined>;
}

export interface Services {
  get(name: string): Service | undefined;
  /** `undefined` when there is no room for another. */
  ensure(name: string): Service | undefined;
  /** The bound that leaves it out; `undefined` when there is room, or it is there already. */
  ensureInstance(service: Service, name: string): number | undefined;
  dropInstance(service: Service, name: string): void;
  /** Its instances were dropped before. */
  drop(service: Service): void;
  all(): readonly Service[];
  clear(): void;
}

export const createServices = (limits: ZookeeperLimits): Services => {
  const services = new Map<string, Service>();
  let instances = 0;
  return {
    get: (name) => services.get(name),
    ensure(name) {
      const known = services.get(name);
      if (known || services.size >= limits.servicesMax) return known;
      const made: Service = { name, instances: new Map() };
      services.set(name, made);
      return made;
    },
    ensureInstance(service, name) {
      if (service.instances.has(name)) return undefined;
      if (service.instances.size >= limits.instancesPerServiceMax) return limits.instancesPerServiceMax;
      if (instances >= limits.instancesMax) return limits.instancesMax;
      service.instances.set(name, undefined);
      instances++;
      return undefined;
    },
    dropInstance(service, name) {
      if (service.instances.delete(name)) instances--;
    },
    drop(service) {
      services.delete(service.name);
    },
    all: () => [...services.values()],
    clear() {
      services.clear();
      instances = 0;
    },
  };
};

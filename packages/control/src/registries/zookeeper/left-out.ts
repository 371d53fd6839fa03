/** How much of a tree is over the bounds: kept by place, and each number told when it changes. */
import type { SourceEvent } from "../outside/source-events.ts";
import type { ZookeeperLimits } from "./limits.ts";

export interface LeftOutCounts {
  readonly services: () => number;
  setServices(count: number): void;
  /** Of one service. */
  readonly instances: (service: string) => number;
  /** `max`: the bound that was met. */
  setInstances(service: string, count: number, max?: number): void;
  /** A service with instances left out. */
  readonly first: () => string | undefined;
  clear(): void;
}

export interface LeftOutOptions {
  readonly base: string;
  readonly keyOf: (service: string) => string;
  readonly limits: ZookeeperLimits;
  readonly emit: (event: SourceEvent) => void;
}

export const createLeftOut = ({ base, keyOf, limits, emit }: LeftOutOptions): LeftOutCounts => {
  const full = new Map<string, number>();
  let services = 0;

  const setServices = (count: number): void => {
    if (count === services) return;
    services = count;
    emit({ kind: "left-out", key: base, left: { what: "services", count, max: limits.servicesMax } });
  };
  const instances = (service: string): number => full.get(service) ?? 0;
  const setInstances = (service: string, count: number, max = limits.instancesPerServiceMax): void => {
    if (count === instances(service)) return;
    if (count === 0) full.delete(service);
    else full.set(service, count);
    emit({ kind: "left-out", key: keyOf(service), left: { what: "instances", count, max } });
  };
  return {
    ...{ setServices, instances, setInstances },
    services: () => services,
    first: () => full.keys().next().value,
    clear() {
      setServices(0);
      for (const service of [...full.keys()]) setInstances(service, 0);
    },
  };
};

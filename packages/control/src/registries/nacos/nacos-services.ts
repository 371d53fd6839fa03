/**
 * What is known of Nacos' services, and what news of them mean: an instance that a later answer of the same connection
 * lacks is gone, one that the first answer of a connection lacks only seems so. An answer without any instance is a hint
 * too, for those with a time-to-live: whoever follows asks again, and says when it is to be believed.
 */
import { sameValue } from "@weft/core/equal";
import type { NacosHost, ReadHost } from "@weft/protocols/nacos/answers";
import type { SourceEvent, SourceInstance } from "../outside/source-events.ts";
import { mapService, type NacosService, readInstance, weightScale } from "./nacos-record.ts";

export interface NacosServices {
  /** A new connection: what is known stays, and is told no more by what lacks. */
  begin(): void;
  /** All instances of a service, by a push or an answer. Nothing of a service that nobody asked for. */
  told(service: NacosService, hosts: readonly ReadHost[]): void;
  /** Nacos does not tell the instances of a service; they stay as they were known. */
  refused(service: NacosService, problem: string): void;
  /** Every service was asked for at least once: tells `listed`. A service among `unanswered` counts as it was known. */
  complete(unanswered: ReadonlySet<string>): void;
  /** The names of a list that was read whole; gives those to ask for anew, and those that can be forgotten. */
  named(services: readonly NacosService[]): NacosChanges;
  /** Services that were told to have nothing any more, since this was last asked. */
  takeEmptied(): readonly NacosService[];
  /** It still has nothing, and that is to be believed. */
  confirmEmpty(service: NacosService): void;
  /** Services with instances. */
  filled(): number;
  /** Grows with each `told` of the service. */
  heard(service: NacosService): number;
  count(): number;
  /** Those asked for, in the order in which they were last heard of, the longest ago first. */
  stalest(count: number): readonly NacosService[];
}

export interface NacosChanges {
  readonly come: readonly NacosService[];
  readonly gone: readonly NacosService[];
  /** More names than are read. */
  readonly refused: number;
}

export interface NacosLimits {
  readonly servicesMax: number;
  readonly instancesPerServiceMax: number;
}

export const nacosLimits: NacosLimits = { servicesMax: 20_000, instancesPerServiceMax: 20_000 };

export interface NacosServicesOptions {
  readonly emit: (event: SourceEvent) => void;
  /** Nacos' own, part of the keys. */
  readonly namespace: string;
  readonly toNamespace: string;
  readonly groups: readonly string[];
  readonly limits?: NacosLimits;
}

interface Instance {
  /** The last good record; `undefined` where none was. */
  readonly instance: SourceInstance | undefined;
  readonly ephemeral: boolean;
  readonly problem: string | undefined;
}

interface Known {
  readonly service: NacosService;
  instances: ReadonlyMap<string, Instance>;
  /** Heard of on this connection. */
  fresh: boolean;
  heard: number;
  refused: boolean;
  /** Instances that are left out. */
  left: number;
  /** What seems to be gone since an answer without any instance. */
  doubtful: readonly string[];
}

export const serviceKey = ({ group, service }: NacosService): string => `${group}@@${service}`;

export const createNacosServices = (options: NacosServicesOptions): NacosServices => {
  const { emit, namespace, toNamespace, groups, limits = nacosLimits } = options;
  /** The one heard of last is the last. */
  const services = new Map<string, Known>();
  const emptied = new Set<string>();
  let live = false;
  let refusedBefore = 0;

  const keyOf = (known: Known): string => `${namespace}/${serviceKey(known.service)}`;
  const read = (known: Known, hosts: readonly ReadHost[]): ReadonlyMap<string, Instance> => {
    const mapping = mapService(known.service, groups);
    const found = new Map<string, Instance>();
    if (!mapping) return found;
    const prefix = `${keyOf(known)}/`;
    const scale = weightScale(hosts.flatMap((read) => (read.kind === "host" ? [read.host.weight] : [])));
    const max = limits.instancesPerServiceMax;
    const nameOf = (one: ReadHost): string => prefix + (one.kind === "host" ? hostKey(one.host) : one.name);
    // Those that are known stay, in whatever order they come.
    const isKnown = (one: ReadHost): boolean => known.instances.has(nameOf(one));
    const ordered = hosts.length <= max ? hosts : [...hosts].sort((a, b) => Number(isKnown(b)) - Number(isKnown(a)));
    tellLeft(known, Math.max(0, hosts.length - max));
    for (const one of ordered) {
      if (found.size >= max) break;
      const key = nameOf(one);
      if (one.kind === "unreadable") {
        const before = known.instances.get(key);
        found.set(key, { instance: before?.instance, ephemeral: true, problem: one.problem });
      } else if (found.get(key)?.instance && found.get(key)?.problem === undefined) {
        const twice = { instance: undefined, ephemeral: true, problem: "is there twice; the first is used" };
        found.set(`${key}#twice`, twice);
      } else {
        const instance = readInstance(one.host, { key, namespace: toNamespace, mapping, scale });
        found.set(key, { instance, ephemeral: one.host.ephemeral, problem: undefined });
      }
    }
    return found;
  };

  const tellRefused = (count: number): void => {
    if (count === refusedBefore) return;
    refusedBefore = count;
    emit({ kind: "left-out", key: `${namespace}/`, left: { what: "services", count, max: limits.servicesMax } });
  };
  const tellLeft = (known: Known, count: number): void => {
    if (count === known.left) return;
    known.left = count;
    const left = { what: "instances", count, max: limits.instancesPerServiceMax };
    emit({ kind: "left-out", key: keyOf(known), left });
  };

  const tellPut = (key: string, now: Instance, before: Instance | undefined): void => {
    if (now.problem !== undefined) {
      if (now.problem !== before?.problem || !live) emit({ kind: "unreadable", key, problem: now.problem });
    } else if (live && now.instance && (before?.problem !== undefined || !sameValue(now.instance, before?.instance)))
      emit({ kind: "put", instance: now.instance });
  };

  const tellGone = (known: Known, next: ReadonlyMap<string, Instance>): void => {
    const gone = [...known.instances].filter(([key]) => !next.has(key));
    if (gone.length === 0) return;
    if (!known.fresh) {
      if (live) emit({ kind: "missing", keys: gone.map(([key]) => key) });
      return;
    }
    // Nacos sends nothing also while it starts, or is itself cut off; its own clients do not believe it either.
    if (next.size === 0) {
      const keys = gone.filter(([, { ephemeral }]) => ephemeral).map(([key]) => key);
      if (keys.length > 0) emit({ kind: "missing", keys });
      for (const [key, { ephemeral }] of gone) if (!ephemeral) emit({ kind: "removed", key, because: "deleted" });
      known.doubtful = keys;
      if (keys.length > 0) emptied.add(serviceKey(known.service));
      return;
    }
    // Whether an instance with a time-to-live deregistered or was lost, Nacos does not say.
    for (const [key, { ephemeral }] of gone) emit({ kind: "removed", key, because: ephemeral ? "expired" : "deleted" });
  };

  return {
    begin() {
      live = false;
      emptied.clear();
      tellRefused(0);
      for (const known of services.values()) {
        tellLeft(known, 0);
        Object.assign(known, { fresh: false, doubtful: [] });
      }
    },
    told(service, hosts) {
      const name = serviceKey(service);
      const known = services.get(name);
      if (!known) return;
      const next = read(known, hosts);
      for (const [key, now] of next) tellPut(key, now, known.instances.get(key));
      if (next.size > 0) known.doubtful = [];
      if (known.fresh || live) tellGone(known, next);
      known.instances = next;
      if (known.refused) emit({ kind: "readable", key: keyOf(known), keys: [...next.keys()] });
      known.refused = false;
      known.fresh = true;
      known.heard++;
      services.delete(name);
      services.set(name, known);
    },
    refused(service, problem) {
      const known = services.get(serviceKey(service));
      if (!known) return;
      known.refused = true;
      emit({ kind: "unreadable", key: keyOf(known), problem, whole: true });
    },
    complete(unanswered) {
      live = true;
      const instances: SourceInstance[] = [];
      for (const [name, known] of services) {
        if (!known.fresh && !unanswered.has(name)) {
          services.delete(name);
          continue;
        }
        for (const { instance } of known.instances.values()) {
          if (instance) instances.push(instance);
        }
      }
      emit({ kind: "listed", instances });
    },
    named(list) {
      const come: NacosService[] = [];
      const names = new Set<string>();
      let refused = 0;
      for (const service of list) {
        const name = serviceKey(service);
        if (names.has(name) || !mapService(service, groups)) continue;
        names.add(name);
        const known = services.get(name);
        if (known?.fresh) continue;
        if (!known && services.size >= limits.servicesMax) refused++;
        else {
          if (!known) services.set(name, { service, instances: new Map(), ...unheard });
          come.push(service);
        }
      }
      tellRefused(refused);
      const gone: NacosService[] = [];
      for (const [name, known] of services) {
        if (names.has(name) || known.instances.size > 0) continue;
        tellLeft(known, 0);
        services.delete(name);
        gone.push(known.service);
      }
      return { come, gone, refused };
    },
    takeEmptied() {
      const found = [...emptied]
        .flatMap((name) => services.get(name) ?? [])
        .filter(({ doubtful }) => doubtful.length > 0);
      emptied.clear();
      return found.map(({ service }) => service);
    },
    confirmEmpty(service) {
      const known = services.get(serviceKey(service));
      if (!known) return;
      for (const key of known.doubtful) emit({ kind: "removed", key, because: "expired" });
      known.doubtful = [];
    },
    filled: () => [...services.values()].reduce((sum, { instances }) => sum + (instances.size > 0 ? 1 : 0), 0),
    heard: (service) => services.get(serviceKey(service))?.heard ?? 0,
    count: () => services.size,
    stalest(count) {
      const found: NacosService[] = [];
      for (const { service } of services.values()) {
        if (found.length >= count) break;
        found.push(service);
      }
      return found;
    },
  };
};

const unheard = { fresh: false, heard: 0, refused: false, left: 0, doubtful: [] } as const;

/** Nacos tells instances apart by these three. */
const hostKey = ({ ip, port, clusterName }: NacosHost): string => `${ip}:${port}@${clusterName}`;

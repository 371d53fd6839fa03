/**
 * Chooses which hosts a balancer sees: by priority, health, panic and locality. Everything is put together when the
 * hosts or their health change; a pick is a draw, a look-up and the balancer's own choice.
 */
import type { Random } from "@weft/core/world";
import type { BuildBalancer, PickHost, PickRequest } from "../balancers/balancer.ts";
import { createEdf } from "../balancers/edf.ts";
import { localityKey } from "./endpoints.ts";
import type { Host } from "./host.ts";
import { priorityLoad } from "./priority-load.ts";

export interface EligibleOptions {
  readonly build: BuildBalancer;
  /** Ring hash and Maglev: priority and locality follow the request's hash too. */
  readonly byHash: boolean;
  readonly random: Random;
  readonly panicThreshold: number;
  readonly overprovisioning: number;
  /** Present when localities are weighted. */
  readonly localityWeights: ReadonlyMap<string, number> | undefined;
  readonly onPanic: () => void;
}

/** One way a request may go, and the percent up to which the draw sends it there. */
interface Lane {
  readonly upTo: number;
  readonly pick: PickHost;
}

const isHealthy = ({ health, ejected }: Host): boolean => health === "healthy" && !ejected;
const isDegraded = ({ health, ejected }: Host): boolean => health === "degraded" && !ejected;

const nobody: PickHost = () => undefined;

/** A number from 0 to 1 that a hash stands for. */
const fraction = (hash: bigint): number => Number(hash >> 11n) / 2 ** 53;

interface Group {
  readonly weight: number;
  readonly pick: PickHost;
}

/** Localities weigh what they are given, less as they lose hosts beyond their spare capacity. */
const groupByLocality = (
  eligible: readonly Host[],
  all: readonly Host[],
  { build, random, overprovisioning, localityWeights }: EligibleOptions,
): readonly Group[] => {
  const groups = new Map<string, { readonly hosts: Host[]; total: number }>();
  for (const host of all) {
    const key = localityKey(host.priority, host.locality);
    const group = groups.get(key) ?? { hosts: [], total: 0 };
    group.total++;
    groups.set(key, group);
  }
  for (const host of eligible) groups.get(localityKey(host.priority, host.locality))?.hosts.push(host);
  return [...groups].flatMap(([key, { hosts, total }]) => {
    const weight = (localityWeights?.get(key) ?? 0) * Math.min(1, (overprovisioning * hosts.length) / total);
    return weight > 0 && hosts.length > 0 ? [{ weight, pick: build(hosts, { random }) }] : [];
  });
};

const pickByHash = (groups: readonly Group[], random: Random): PickHost => {
  const total = groups.reduce((all, { weight }) => all + weight, 0);
  return (request) => {
    let at = (request.hash === undefined ? random() : fraction(request.hash)) * total;
    for (const { weight, pick } of groups) {
      at -= weight;
      if (at < 0) return pick(request);
    }
    return groups.at(-1)?.pick(request);
  };
};

const buildLane = (eligible: readonly Host[], all: readonly Host[], options: EligibleOptions): PickHost => {
  const { build, random, localityWeights, byHash } = options;
  if (eligible.length === 0) return nobody;
  if (localityWeights && localityWeights.size > 0) {
    const groups = groupByLocality(eligible, all, options);
    const [only] = groups;
    if (only && groups.length === 1) return only.pick;
    if (groups.length > 1) {
      if (byHash) return pickByHash(groups, random);
      const edf = createEdf(groups.length, (index) => groups[index]?.weight ?? 1, random);
      return (request) => groups[edf.next()]?.pick(request);
    }
  }
  return build(eligible, { random });
};

const byPriority = (hosts: readonly Host[]): readonly (readonly Host[])[] => {
  const last = hosts.reduce((most, { priority }) => Math.max(most, priority), 0);
  const priorities: Host[][] = Array.from({ length: last + 1 }, () => []);
  for (const host of hosts) priorities[host.priority]?.push(host);
  return priorities;
};

/** Puts a pick function together for these hosts as they are now. */
export const buildPick = (hosts: readonly Host[], options: EligibleOptions): PickHost => {
  if (hosts.length === 0) return nobody;
  const { random, byHash, onPanic } = options;
  const priorities = byPriority(hosts);
  const healthy = priorities.map((list) => list.filter(isHealthy));
  const degraded = priorities.map((list) => list.filter(isDegraded));
  const load = priorityLoad(
    priorities.map((list, index) => ({
      total: list.length,
      healthy: healthy[index]?.length ?? 0,
      degraded: degraded[index]?.length ?? 0,
    })),
    options,
  );
  const lanes: Lane[] = [];
  let upTo = 0;
  const add = (percent: number, pick: () => PickHost): void => {
    if (percent === 0) return;
    upTo += percent;
    lanes.push({ upTo, pick: pick() });
  };
  for (const [index, all] of priorities.entries()) {
    const panics = load.panic[index] === true;
    const lane = (eligible: readonly Host[] | undefined) => (): PickHost => {
      const pick = buildLane(panics ? all : (eligible ?? []), all, options);
      if (!panics) return pick;
      return (request) => {
        onPanic();
        return pick(request);
      };
    };
    add(load.healthy[index] ?? 0, lane(healthy[index]));
    add(load.degraded[index] ?? 0, lane(degraded[index]));
  }
  const [only] = lanes;
  if (!only) return nobody;
  if (lanes.length === 1) return only.pick;
  return (request: PickRequest) => {
    const draw = byHash && request.hash !== undefined ? Number(request.hash % 100n) : Math.floor(random() * 100);
    for (const lane of lanes) if (draw < lane.upTo) return lane.pick(request);
    return undefined;
  };
};

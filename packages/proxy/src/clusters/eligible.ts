/**
 * Chooses which hosts a balancer sees: by priority, health, panic, locality and zone. Everything is put together when
 * the hosts or their health change; a pick is a draw, a look-up and the balancer's own choice.
 */
import type { BalancerTools, BuildBalancer, PickHost } from "../balancers/balancer.ts";
import { createEdf } from "../balancers/edf.ts";
import type { ClusterCounters } from "./cluster.ts";
import type { Host, Locality } from "./host.ts";
import { priorityLoad } from "./priority-load.ts";
import { type LocalityHosts, type PrioritySet, sortHosts } from "./priority-sets.ts";
import { type ZoneAwareSettings, zoneRouting } from "./zone-aware.ts";

export interface EligibleOptions {
  readonly build: BuildBalancer;
  /** Ring hash and Maglev: priority and locality follow the request's hash too. */
  readonly byHash: boolean;
  readonly tools: BalancerTools;
  readonly panicThreshold: number;
  readonly overprovisioning: number;
  readonly weightedHealth: boolean;
  /** Present when localities are weighted. */
  readonly localityWeights: ReadonlyMap<string, number> | undefined;
  /** Present when the proxy's own zone is preferred. */
  readonly zoneAware: ZoneAwareSettings | undefined;
  /** The proxy's own locality, and the hosts of its own cluster. */
  readonly local: { readonly locality: Locality; readonly hosts: () => readonly Host[] } | undefined;
  readonly counters: ClusterCounters;
}

/** One way a request may go, and the percent up to which the draw sends it there. */
interface Lane {
  readonly upTo: number;
  readonly pick: PickHost;
}

type Health = "healthy" | "degraded";

const nobody: PickHost = () => undefined;
const noWeights: ReadonlyMap<string, number> = new Map();

/** A locality weighs what it is given, less as it loses hosts beyond its spare capacity. */
const effectiveWeight = (
  { all, excluded, weight, ...hosts }: LocalityHosts,
  health: Health,
  overprovisioning: number,
): number => {
  const counted = all.length - excluded;
  return counted === 0 ? 0 : weight * Math.min(1, (overprovisioning * hosts[health].length) / counted);
};

/** Localities in turn by weight; `undefined` when none of them weighs anything. */
const pickByLocality = (set: PrioritySet, health: Health, options: EligibleOptions): PickHost | undefined => {
  const { build, tools, overprovisioning } = options;
  const groups = set.localities.flatMap((locality) => {
    const weight = effectiveWeight(locality, health, overprovisioning);
    return weight > 0 ? [{ weight, pick: build(locality[health], tools) }] : [];
  });
  const [only] = groups;
  if (groups.length < 2) return only?.pick;
  const edf = createEdf(groups.length, (index) => groups[index]?.weight ?? 1, tools.random);
  return (request) => groups[edf.next()]?.pick(request);
};

/** By zone where that applies, else among all alike. */
const pickByZone = (set: PrioritySet, health: Health, options: EligibleOptions): PickHost => {
  const { build, tools, zoneAware, local, counters, panicThreshold } = options;
  const all = build(health === "healthy" ? set.healthyHosts : set.degradedHosts, tools);
  if (!zoneAware || !local) return all;
  const [locals] = sortHosts(local.hosts(), { localityWeights: noWeights, local: local.locality, weighted: false });
  const choose = zoneRouting(set, locals, zoneAware, { random: tools.random, counters, panicThreshold });
  if (!choose) return all;
  const zones = set.localities.map((locality) => build(locality[health], tools));
  return (request) => {
    const zone = choose();
    if (zone === "none") return undefined;
    return (zone === "all" ? all : zones[zone])?.(request);
  };
};

/** The way to one priority's healthy or degraded hosts. */
const buildLane = (set: PrioritySet, index: number, health: Health, options: EligibleOptions): PickHost => {
  if (options.localityWeights) {
    const pick = pickByLocality(set, health, options);
    if (pick) return pick;
  }
  if (index === 0) return pickByZone(set, health, options);
  return options.build(health === "healthy" ? set.healthyHosts : set.degradedHosts, options.tools);
};

/** One ring or table over all localities, each with its part; hosts that are merely degraded are not in it. */
const buildHashing = (
  set: PrioritySet,
  panics: boolean,
  { build, tools, localityWeights }: EligibleOptions,
): PickHost => {
  if (!localityWeights) return build(panics ? set.hosts : set.healthyHosts, tools);
  const total = set.localities.reduce((sum, { weight }) => sum + weight, 0);
  const hosts: Host[] = [];
  const shares: number[] = [];
  for (const { weight, all, healthy } of set.localities) {
    if (weight === 0) continue;
    const members = panics ? all : healthy;
    const sum = members.reduce((weights, host) => weights + host.weight, 0);
    for (const host of members) {
      hosts.push(host);
      shares.push((host.weight * (weight / total)) / sum);
    }
  }
  return build(hosts, { ...tools, shares });
};

const counting = (pick: PickHost, counters: ClusterCounters): PickHost => {
  return (request) => {
    counters.lbHealthyPanic++;
    return pick(request);
  };
};

const buildLanes = (sets: readonly PrioritySet[], options: EligibleOptions): readonly Lane[] => {
  const { byHash, counters, zoneAware, build, tools } = options;
  const load = priorityLoad(sets, options);
  const lanes: Lane[] = [];
  let upTo = 0;
  const laneOf = (index: number, health: Health): PickHost => {
    const set = sets[index] as PrioritySet;
    const panics = load.panic[index] === true;
    if (byHash) {
      const pick = buildHashing(set, panics, options);
      return panics ? counting(pick, counters) : pick;
    }
    if (!panics) return buildLane(set, index, health, options);
    return counting(zoneAware?.failOnPanic ? nobody : build(set.hosts, tools), counters);
  };
  for (const health of ["healthy", "degraded"] as const) {
    for (const [index, percent] of load[health].entries()) {
      if (percent === 0) continue;
      upTo += percent;
      lanes.push({ upTo, pick: laneOf(index, health) });
    }
  }
  return lanes;
};

/** Puts a pick function together for these hosts as they are now. */
export const buildPick = (hosts: readonly Host[], options: EligibleOptions): PickHost => {
  if (hosts.length === 0) return nobody;
  const { byHash, tools, local, localityWeights = noWeights, weightedHealth } = options;
  const sets = sortHosts(hosts, { localityWeights, local: local?.locality, weighted: weightedHealth });
  const lanes = buildLanes(sets, options);
  const [only] = lanes;
  if (!only) return nobody;
  if (lanes.length === 1) return only.pick;
  const { random } = tools;
  return (request) => {
    const draw = byHash && request.hash !== undefined ? Number(request.hash % 100n) : Math.floor(random() * 100);
    for (const lane of lanes) if (draw < lane.upTo) return lane.pick(request);
    return undefined;
  };
};

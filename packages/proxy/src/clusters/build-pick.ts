/** Puts a cluster's pick together: its policy, its subsets, and the requests that it is to drop. */
import type { BalancerTools, PickHost } from "../balancers/balancer.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { ClusterCounters } from "./cluster.ts";
import { buildPick, type EligibleOptions } from "./eligible.ts";
import { type Assignment, localityKey } from "./endpoints.ts";
import type { Host } from "./host.ts";
import type { LbPolicy } from "./lb-policy.ts";
import { createSubsetBuilder } from "./subsets.ts";

export interface PickBuilder {
  readonly build: (hosts: readonly Host[]) => PickHost;
  /** Whether the last request that got no host was one to drop. */
  readonly wasDropped: () => boolean;
  /** The cluster is gone or replaced; what was built goes on for requests under way. */
  readonly close: () => void;
}

export interface PickBuilderTools {
  readonly lb: LbPolicy;
  readonly counters: ClusterCounters;
  readonly tools: CompileTools;
  /** Requests that the whole cluster serves now. */
  readonly active: () => number;
  readonly assignment: () => Assignment;
}

const sizes = (hosts: readonly Host[]): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>();
  for (const { priority, locality } of hosts) {
    const key = localityKey(priority, locality);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
};

/** Localities weigh as much less in a subset as they have fewer hosts in it. */
const scaled = (
  weights: ReadonlyMap<string, number>,
  some: readonly Host[],
  all: readonly Host[],
): ReadonlyMap<string, number> => {
  const [here, everywhere] = [sizes(some), sizes(all)];
  return new Map(
    [...weights].map(([key, weight]) => {
      const whole = everywhere.get(key) ?? 0;
      return [key, whole === 0 ? 0 : Math.round((weight * (here.get(key) ?? 0)) / whole)];
    }),
  );
};

export const createPickBuilder = ({ lb, counters, tools, active, assignment }: PickBuilderTools): PickBuilder => {
  const { clock, random, local } = tools;
  const balancerTools: BalancerTools = { random, active, nowMs: () => clock.nowMs() };
  const optionsFor = (localityWeights: ReadonlyMap<string, number> | undefined): EligibleOptions => ({
    build: lb.build,
    byHash: lb.byHash,
    tools: balancerTools,
    panicThreshold: lb.panicThreshold,
    overprovisioning: assignment().overprovisioning,
    weightedHealth: assignment().weightedHealth,
    localityWeights,
    zoneAware: lb.localityWeighted ? undefined : lb.zoneAware,
    local,
    counters,
  });
  const weights = (): ReadonlyMap<string, number> | undefined =>
    lb.localityWeighted && assignment().localityWeights.size > 0 ? assignment().localityWeights : undefined;
  const { subsets } = lb;
  const bySubset = subsets && createSubsetBuilder(subsets, counters);
  let dropped = false;

  const build = (hosts: readonly Host[]): PickHost => {
    if (!bySubset) return buildPick(hosts, optionsFor(weights()));
    return bySubset.build(hosts, (some, all) => {
      const own = subsets.localityWeightAware ? weights() : undefined;
      return buildPick(some, optionsFor(own && subsets.scaleLocalityWeight ? scaled(own, some, all) : own));
    });
  };
  const dropping =
    (pick: PickHost, share: number): PickHost =>
    (request) => {
      dropped = random() < share;
      if (!dropped) return pick(request);
      counters.upstreamRqDropOverload++;
      return undefined;
    };
  return {
    build: (hosts) => {
      const pick = build(hosts);
      const { dropShare } = assignment();
      dropped = false;
      return dropShare > 0 ? dropping(pick, dropShare) : pick;
    },
    wasDropped: () => dropped,
    close: () => bySubset?.close(),
  };
};

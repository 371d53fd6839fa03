import { formatAddress, type SocketAddress } from "@weft/core/address";
import type { Logger, Random } from "@weft/core/world";
import type { DnsRefresh } from "../clusters/cluster.ts";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import type { HostChange } from "../clusters/host-set.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import { dnsRefreshMsMin } from "./limits.ts";
import type { FoundAddress, ResolveName } from "./resolve-name.ts";

export interface NamedTarget {
  readonly cluster: CompiledCluster;
  readonly settings: DnsRefresh;
  /** False once another cluster has taken its place. */
  readonly current: () => boolean;
  readonly onChange: (change: HostChange) => void;
  /** An answer has come, a good one or not. */
  readonly onAnswered?: () => void;
}

interface Tools {
  readonly wheel: TimerWheel;
  readonly resolve: ResolveName;
  readonly log: Logger;
  readonly random: Random;
}

/** When to ask again after an answer: the shortest time that one of its addresses may be kept, where that is told. */
export const nextAfterSuccess = (
  { refreshMs, jitterMs, respectTtl, ttlLeastMs }: DnsRefresh,
  found: readonly FoundAddress[],
  random: Random,
): number => {
  const ttlMs = found.reduce((least, { ttl }) => Math.min(least, ttl * 1000), Number.POSITIVE_INFINITY);
  const base = respectTtl && found.length > 0 && ttlMs > 0 ? Math.max(ttlMs, ttlLeastMs) : refreshMs;
  return Math.max(base + Math.floor(random() * jitterMs), dnsRefreshMsMin);
};

/** When to ask again after so many failures in a row. */
export const nextAfterFailure = (
  { failureRefreshMs, failureRefreshMostMs, failureRandom }: DnsRefresh,
  failures: number,
  random: Random,
): number => {
  const most = Math.min(failureRefreshMs * 2 ** Math.min(failures - 1, 31), failureRefreshMostMs);
  return Math.max(failureRandom ? Math.floor(random() * most) : most, dnsRefreshMsMin);
};

/**
 * Asks for a cluster's name at once and again and again, and tells the cluster what came. Hosts that were found stay
 * through failures: a server that is away for a while must not take a service with it.
 */
export const keepResolved = (target: NamedTarget, name: SocketAddress, tools: Tools): WheelTimer => {
  const { cluster, settings, current, onChange } = target;
  const { wheel, random } = tools;
  const { counters, sweeps } = cluster.counts;
  // Of several threads that ask, one counts for all.
  const count = (member: "updateAttempt" | "updateSuccess" | "updateFailure" | "updateEmpty" | "updateNoRebuild") => {
    if (sweeps) counters[member]++;
  };
  let failures = 0;
  const take = (found: readonly FoundAddress[]): void => {
    const change = cluster.setResolved(name, [...new Set(found.map(({ address }) => address))]);
    if (change.added.length + change.removed.length === 0) count("updateNoRebuild");
    onChange(change);
  };
  const ask = async (): Promise<void> => {
    count("updateAttempt");
    let next: number;
    try {
      const found = await tools.resolve({ name: name.host, family: settings.family, resolver: settings.resolver });
      if (found.length === 0) count("updateEmpty");
      // A logical host without an address is no host: that is as good as no answer.
      if (found.length === 0 && cluster.discovery.kind === "logicalDns") throw new Error("no address");
      failures = 0;
      count("updateSuccess");
      if (current()) take(found);
      next = nextAfterSuccess(settings, found, random);
    } catch (error) {
      count("updateFailure");
      next = nextAfterFailure(settings, ++failures, random);
      tools.log.debug("name not resolved", {
        cluster: cluster.name,
        name: formatAddress(name),
        error: String(error),
      });
    }
    if (!current()) return;
    wheel.arm(timer, next);
    target.onAnswered?.();
  };
  const timer = new WheelTimer({ onTimer: () => void ask() }, 0);
  void ask();
  return timer;
};

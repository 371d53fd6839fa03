/** What another control plane tells of its proxies, in times of this one: a configuration is as new as when it was last in force here. */
import type { ConfigTerms } from "./config-terms.ts";
import type { ToldProxies } from "./proxy-record.ts";
import type { PeerProxies } from "./written-status-proxies.ts";

/**
 * A configuration that was never in force here counts as the one before it there that was: who agreed to it agreed to
 * something newer. `undefined` where nothing is told of which proxies have what, and there are some.
 */
export const peerProxies = (
  { total, kinds }: ToldProxies,
  terms: Pick<ConfigTerms, "lastMs">,
): PeerProxies | undefined => {
  if (!kinds) return total > 0 ? undefined : { ...nobody, groups: [] };
  let atMs = Number.NEGATIVE_INFINITY;
  const times = kinds.configs
    .toReversed()
    .map((config) => {
      atMs = terms.lastMs(config) ?? atMs;
      return atMs;
    })
    .reverse();
  return {
    reachedMs: Math.max(Number.NEGATIVE_INFINITY, ...times),
    ...{ total, left: kinds.left },
    groups: kinds.groups.map(({ of, total: all, at }) => ({
      ...{ of, total: all },
      agreed: at.map(([place, count]) => ({ atMs: times[place] ?? Number.NEGATIVE_INFINITY, count })),
    })),
  };
};

const nobody = { reachedMs: Number.NEGATIVE_INFINITY, total: 0, left: 0 };

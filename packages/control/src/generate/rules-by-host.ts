/** Rules of VirtualServices by what they are for: those of a host are found without looking at all of them. */
import type { VirtualServiceRule } from "../model/virtual-services.ts";

export interface RulesByHost {
  /** In the order given. */
  readonly exact: ReadonlyMap<string, readonly VirtualServiceRule[]>;
  /** Those with a wildcard among their hosts. */
  readonly wild: readonly VirtualServiceRule[];
}

export const rulesByHost = (rules: readonly VirtualServiceRule[]): RulesByHost => {
  const exact = new Map<string, VirtualServiceRule[]>();
  for (const rule of rules) {
    for (const host of rule.hosts) {
      if (host.startsWith("*")) continue;
      const known = exact.get(host);
      if (known) known.push(rule);
      else exact.set(host, [rule]);
    }
  }
  return { exact, wild: rules.filter(({ hosts }) => hosts.some((host) => host.startsWith("*"))) };
};

/** Envoy refuses a table in which two hosts have the same domain; the first keeps it, a host left without any goes. */
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";

/** For one table after another, of which most hosts are those of the table before. */
export type DomainCheck = (hosts: readonly VirtualHostJson[]) => VirtualHostJson[];

/** Above this share of other hosts all are looked at. */
const otherHostsShare = 4;

interface Checked {
  readonly hosts: ReadonlySet<VirtualHostJson>;
  readonly owners: Map<string, VirtualHostJson>;
}

export const createDomainCheck = (): DomainCheck => {
  /** The table before, when each of its domains was of one host only. */
  let last: Checked | undefined;

  const whole = (hosts: readonly VirtualHostJson[]): VirtualHostJson[] => {
    const owners = new Map<string, VirtualHostJson>();
    const kept: VirtualHostJson[] = [];
    let clean = true;
    for (const host of hosts) {
      const domains = (host.domains ?? []).filter((domain) => !owners.has(domain.toLowerCase()));
      for (const domain of domains) owners.set(domain.toLowerCase(), host);
      clean &&= domains.length > 0 && domains.length === host.domains?.length;
      if (domains.length > 0) kept.push(domains.length === host.domains?.length ? host : { ...host, domains });
    }
    last = clean ? { hosts: new Set(hosts), owners } : undefined;
    return kept;
  };

  /** Whether still no domain is of two. */
  const follows = ({ hosts: before, owners }: Checked, now: ReadonlySet<VirtualHostJson>): boolean => {
    const added = [...now].filter((host) => !before.has(host));
    if (added.length > now.size / otherHostsShare) return false;
    for (const host of before) {
      if (now.has(host)) continue;
      for (const domain of host.domains ?? []) owners.delete(domain.toLowerCase());
    }
    return added.every((host) => {
      const domains = (host.domains ?? []).map((domain) => domain.toLowerCase());
      if (domains.length === 0 || domains.some((domain) => owners.has(domain))) return false;
      for (const domain of domains) owners.set(domain, host);
      return true;
    });
  };

  return (hosts) => {
    const now = new Set(hosts);
    if (!last || now.size !== hosts.length || !follows(last, now)) return whole(hosts);
    last = { hosts: now, owners: last.owners };
    return [...hosts];
  };
};

/** Hosts of an ORIGINAL_DST cluster: made when a connection asks for them, dropped when unused. */
import { formatAddress, parseAddress, type SocketAddress } from "@weft/core/address";
import { isIp } from "../matching/cidr.ts";
import { localHostCounts } from "./counts.ts";
import type { Host } from "./host.ts";
import { createHost } from "./host-set.ts";
import type { HostTable } from "./host-table.ts";

/** A client chooses these addresses, so they are bounded. */
export const originalHostsMax = 10_000;

const nowhere = { region: "", zone: "", subZone: "" };

/** The target that `ip:port` names. */
const targetOf = (address: string): SocketAddress | undefined => {
  const target = parseAddress(address);
  return target && isIp(target.host) ? target : undefined;
};

const newHost = (target: SocketAddress): Host =>
  createHost(
    {
      target: { kind: "ip", ...target },
      unresolved: false,
      weight: 1,
      priority: 0,
      locality: nowhere,
      metadata: {},
      health: "healthy",
      hostname: "",
    },
    localHostCounts,
  );

/** Connections kept for later requests do not hold a host for longer than this. */
export const unusedHostMs = 300_000;

const remove = (hosts: Map<string, Host>, host: Host): Host => {
  host.removed = true;
  hosts.delete(host.address);
  return host;
};

/** Since when nobody asked a host for anything. */
type Unused = Map<Host, number>;

/**
 * Drops hosts that had nothing to do at the last look and have nothing now, and those with nothing but idle connections
 * for a longer while; gives them back for draining.
 */
const dropUnused = (hosts: Map<string, Host>, unused: Unused, nowMs: number): readonly Host[] => {
  const removed: Host[] = [];
  for (const host of hosts.values()) {
    if (host.activeRequests > 0) {
      unused.delete(host);
      continue;
    }
    const sinceMs = unused.get(host);
    if (sinceMs === undefined) unused.set(host, nowMs);
    else if (host.stats.cxActive === 0 || nowMs - sinceMs >= unusedHostMs) {
      unused.delete(host);
      removed.push(remove(hosts, host));
    }
  }
  return removed;
};

/** The first host without a request goes, so that clients that ask for ever new addresses only hurt each other. */
const dropAny = (hosts: Map<string, Host>, unused: Unused): boolean => {
  for (const host of hosts.values()) {
    if (host.activeRequests > 0) continue;
    unused.delete(host);
    remove(hosts, host).pool?.[Symbol.dispose]();
    return true;
  }
  return false;
};

export interface OriginalHosts {
  /** The host for `ip:port`; `undefined` for what is no address, and when there are too many in use. */
  readonly host: (address: string) => Host | undefined;
  /** Drops unused hosts once per interval; gives them back for draining. */
  readonly tick: (nowMs: number) => readonly Host[];
  /** Never while there are no hosts. */
  readonly deadlineMs: () => number;
}

export const createOriginalHosts = (table: HostTable, intervalMs: number, nowMs: number): OriginalHosts => {
  const unused: Unused = new Map();
  let nextMs = nowMs + intervalMs;
  return {
    host: (address) => {
      const hosts = table.byAddress();
      const target = hosts.has(address) ? undefined : targetOf(address);
      const known = hosts.get(target ? formatAddress(target) : address);
      if (known) unused.delete(known);
      if (known || !target) return known;
      if (hosts.size >= originalHostsMax) {
        if (!dropAny(hosts, unused)) return undefined;
        table.changed();
      }
      const host = newHost(target);
      hosts.set(host.address, host);
      table.changed();
      return host;
    },
    tick: (atMs) => {
      if (atMs < nextMs) return [];
      nextMs = atMs + intervalMs;
      const removed = dropUnused(table.byAddress(), unused, atMs);
      if (removed.length > 0) table.changed();
      return removed;
    },
    deadlineMs: () => (table.byAddress().size > 0 ? nextMs : Number.POSITIVE_INFINITY),
  };
};

/** The hosts of a cluster by address. They live on through changes of endpoints and of configuration. */
import { type EndpointSpec, targetAddress } from "./endpoints.ts";
import type { Host } from "./host.ts";

export interface HostChange {
  readonly added: readonly Host[];
  /** Flagged `removed` already; their connections are to drain. */
  readonly removed: readonly Host[];
}

/** More endpoints than this in one cluster are refused by the caller. */
export const hostsMax = 100_000;

export const createHost = ({ target, weight, priority, locality, metadata, health }: EndpointSpec): Host => ({
  address: targetAddress(target),
  target,
  weight,
  priority,
  locality,
  metadata,
  health,
  ejected: false,
  activeRequests: 0,
  stats: {
    cxTotal: 0,
    cxActive: 0,
    cxConnectFail: 0,
    rqTotal: 0,
    rqSuccess: 0,
    rqError: 0,
    rqTimeout: 0,
  },
  pool: undefined,
  outlier: undefined,
  removed: false,
});

const update = (host: Host, { weight, priority, locality, metadata, health }: EndpointSpec): void => {
  host.weight = weight;
  host.priority = priority;
  host.locality = locality;
  host.metadata = metadata;
  host.health = health;
  host.removed = false;
};

/**
 * The hosts for these endpoints, those of `current` kept where the address is the same. Of two endpoints at one address
 * the later one holds.
 */
export const reconcile = (
  current: ReadonlyMap<string, Host>,
  endpoints: readonly EndpointSpec[],
): { readonly hosts: Map<string, Host>; readonly change: HostChange } => {
  const hosts = new Map<string, Host>();
  const added: Host[] = [];
  for (const spec of endpoints) {
    const address = targetAddress(spec.target);
    const known = hosts.get(address) ?? current.get(address);
    if (known) {
      update(known, spec);
      hosts.set(address, known);
    } else {
      const host = createHost(spec);
      added.push(host);
      hosts.set(address, host);
    }
  }
  const removed: Host[] = [];
  for (const [address, host] of current) {
    if (hosts.has(address)) continue;
    host.removed = true;
    removed.push(host);
  }
  return { hosts, change: { added, removed } };
};

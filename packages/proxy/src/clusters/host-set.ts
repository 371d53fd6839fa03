/** The hosts of a cluster by address. They live on through changes of endpoints and of configuration. */
import type { HostCounts } from "./counts.ts";
import { type EndpointSpec, targetAddress } from "./endpoints.ts";
import type { Host, HostMetadata, HostStats, HostTarget, Locality } from "./host.ts";

export interface HostChange {
  readonly added: readonly Host[];
  /** Flagged `removed` already; their connections are to drain. */
  readonly removed: readonly Host[];
}

/** More endpoints than this in one cluster are refused by the caller. */
export const hostsMax = 100_000;

/** Gives the counts of the host at that address. */
export type CountsOfHost = (address: string) => HostCounts;

class LiveHost implements Host {
  readonly address: string;
  readonly target: HostTarget;
  readonly hostname: string;
  weight: number;
  priority: number;
  locality: Locality;
  metadata: HostMetadata;
  health: Host["health"];
  pool: Disposable | undefined = undefined;
  removed = false;
  readonly stats: HostStats;
  readonly counts: HostCounts;

  constructor(spec: EndpointSpec, countsOf: CountsOfHost) {
    this.address = targetAddress(spec.target);
    this.target = spec.target;
    this.hostname = spec.hostname;
    this.weight = spec.weight;
    this.priority = spec.priority;
    this.locality = spec.locality;
    this.metadata = spec.metadata;
    this.health = spec.health;
    this.counts = countsOf(this.address);
    this.stats = this.counts.stats;
  }
  get activeRequests(): number {
    return this.counts.active;
  }
  get ejected(): boolean {
    return this.counts.ejected;
  }
}

export const createHost = (spec: EndpointSpec, countsOf: CountsOfHost): Host => new LiveHost(spec, countsOf);

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
  countsOf: CountsOfHost,
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
      const host = createHost(spec, countsOf);
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

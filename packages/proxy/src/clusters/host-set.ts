/** The hosts of a cluster by address. They live on through changes of endpoints and of configuration. */
import type { HostCounts } from "./counts.ts";
import { type EndpointSpec, targetAddress } from "./endpoints.ts";
import {
  checkFlags,
  type EdsStatus,
  type EndpointCheck,
  type Host,
  type HostHealth,
  type HostMetadata,
  type HostStats,
  type HostTarget,
  type Locality,
} from "./host.ts";

export interface HostChange {
  readonly added: readonly Host[];
  /** Flagged `removed` already; their connections are to drain. */
  readonly removed: readonly Host[];
  /** Kept, and checked at another place from now on. */
  readonly moved: readonly Host[];
}

/** More endpoints than this in one cluster are refused by the caller. */
export const hostsMax = 100_000;

/** Gives the counts of the host at that address. */
export type CountsOfHost = (address: string) => HostCounts;

/** A host that may be the same one elsewhere: new connections go there then, those that stand stay. */
export interface MovableHost extends Host {
  moveTo(target: HostTarget, addresses: readonly HostTarget[] | undefined): void;
}

class LiveHost implements MovableHost {
  address: string;
  target: HostTarget;
  addresses: readonly HostTarget[] | undefined;
  hostname: string;
  weight: number;
  priority: number;
  locality: Locality;
  metadata: HostMetadata;
  health: Host["health"];
  edsStatus: EdsStatus;
  check: EndpointCheck | undefined;
  healthySinceMs = Number.NaN;
  latency: Host["latency"] = undefined;
  seen = 0;
  pool: Disposable | undefined = undefined;
  ties: Host["ties"] = undefined;
  removed = false;
  readonly stats: HostStats;
  readonly counts: HostCounts;

  constructor(spec: EndpointSpec, countsOf: CountsOfHost) {
    this.address = targetAddress(spec.target);
    this.target = spec.target;
    this.addresses = spec.addresses;
    this.hostname = spec.hostname;
    this.weight = spec.weight;
    this.priority = spec.priority;
    this.locality = spec.locality;
    this.metadata = spec.metadata;
    this.health = spec.health;
    this.edsStatus = spec.edsStatus ?? edsStatusOf(spec.health);
    this.check = spec.check;
    this.counts = countsOf(this.address);
    this.stats = this.counts.stats;
  }
  moveTo(target: HostTarget, addresses: readonly HostTarget[] | undefined): void {
    this.target = target;
    this.addresses = addresses;
    this.address = targetAddress(target);
  }
  get activeRequests(): number {
    return this.counts.active;
  }
  get ejected(): boolean {
    return this.counts.ejected;
  }
  get state(): HostHealth {
    const { counts, health } = this;
    const { checked } = counts;
    if (health === "unhealthy" || (checked & checkFlags.failed) !== 0 || counts.ejected) return "unhealthy";
    return health === "degraded" || (checked & checkFlags.degraded) !== 0 ? "degraded" : "healthy";
  }
}

const edsStatuses = { healthy: "HEALTHY", degraded: "DEGRADED", unhealthy: "UNHEALTHY" } as const;
const edsStatusOf = (health: HostHealth): EdsStatus => edsStatuses[health];

export const createHost = (spec: EndpointSpec, countsOf: CountsOfHost): MovableHost => new LiveHost(spec, countsOf);

const update = (host: Host, spec: EndpointSpec): void => {
  const { weight, priority, locality, metadata, health, hostname } = spec;
  host.hostname = hostname;
  host.addresses = spec.addresses;
  host.weight = weight;
  host.priority = priority;
  host.locality = locality;
  host.metadata = metadata;
  host.health = health;
  host.edsStatus = spec.edsStatus ?? edsStatusOf(health);
  host.check = spec.check;
  host.removed = false;
};

const samePlace = (a: EndpointCheck | undefined, b: EndpointCheck | undefined): boolean =>
  a?.host === b?.host && a?.port === b?.port;

/**
 * The hosts for these endpoints, those of `current` kept where the address is the same, and others that are to stay. Of
 * two endpoints at one address the later one holds.
 */
export const reconcile = (
  current: ReadonlyMap<string, Host>,
  endpoints: readonly EndpointSpec[],
  { countsOf, stays }: { readonly countsOf: CountsOfHost; readonly stays: (host: Host) => boolean },
): { readonly hosts: Map<string, Host>; readonly change: HostChange } => {
  const hosts = new Map<string, Host>();
  const added: Host[] = [];
  const checksBefore = new Map<Host, EndpointCheck | undefined>();
  for (const spec of endpoints) {
    const address = targetAddress(spec.target);
    const known = hosts.get(address) ?? current.get(address);
    if (known) {
      if (known.check !== spec.check && !checksBefore.has(known)) checksBefore.set(known, known.check);
      update(known, spec);
      if ((known.counts.checked & checkFlags.leaving) !== 0) known.counts.mark(0, checkFlags.leaving);
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
    if (stays(host)) {
      host.counts.mark(checkFlags.leaving, 0);
      hosts.set(address, host);
      continue;
    }
    host.removed = true;
    removed.push(host);
  }
  const moved = [...checksBefore].flatMap(([host, before]) => (samePlace(before, host.check) ? [] : [host]));
  return { hosts, change: { added, removed, moved } };
};

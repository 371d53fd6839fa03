/**
 * The server's side of what clients are given only when they need it. A client asks for virtual hosts by the names that
 * requests carry, and with them is given the clusters that they lead to: those are not listed to a client of all clusters.
 */
import type { Versioned } from "./diff.ts";
import { resourceType } from "./resource.ts";
import type { OnDemandSnapshot, Snapshot, SnapshotEntry } from "./snapshot.ts";
import type { Plan } from "./stream-plan.ts";
import type { TypeState } from "./type-state.ts";

export interface HostPlan extends Plan {
  /** What the client holds then. */
  readonly cursor: ReadonlyMap<string, Versioned>;
}

/** What brings a client from what it holds to what the names that it asks for mean now; `answered` are those it was given one for. */
export const planHosts = (state: TypeState, answered: Set<string>, { hosts, resolve }: OnDemandSnapshot): HostPlan => {
  const aliases = new Map<string, string[]>();
  const entries = new Map<string, SnapshotEntry>();
  const removed = new Set<string>();
  const cursor = new Map<string, Versioned>();
  for (const asked of state.names) {
    const entry = hosts.entries.get(resolve(asked) ?? "");
    if (!entry) {
      if (state.owed.has(asked) || answered.delete(asked)) removed.add(asked);
      continue;
    }
    const { name, version } = entry;
    const same = aliases.get(name) ?? [];
    aliases.set(name, same);
    same.push(asked);
    cursor.set(name, entry);
    if (state.owed.has(asked) || !answered.has(asked) || state.cursor.get(name)?.version !== version)
      entries.set(name, entry);
    answered.add(asked);
  }
  for (const name of state.cursor.keys()) if (!cursor.has(name)) removed.add(name);
  for (const asked of answered) if (!state.names.has(asked)) answered.delete(asked);
  return { entries: [...entries.values()], removed: [...removed].sort(), aliases, cursor };
};

/** The clusters that the virtual hosts lead to which a client asks for. */
const neededBy = (hosts: TypeState | undefined, { resolve, clustersOf }: OnDemandSnapshot): ReadonlySet<string> => {
  const needed = new Set<string>();
  for (const asked of hosts?.names ?? []) {
    const name = resolve(asked);
    if (name !== undefined) for (const cluster of clustersOf(name)) needed.add(cluster);
  }
  return needed;
};

const clusterUrl = resourceType("cluster").typeUrl;
const endpointsUrl = resourceType("endpoints").typeUrl;

/** The snapshot without what the client was not given for not having asked for it. */
export const givenPart = (snapshot: Snapshot, isSubscribed: (typeUrl: string, name: string) => boolean): Snapshot => {
  const { onDemand } = snapshot;
  if (!onDemand) return snapshot;
  const isGiven = (name: string): boolean => !onDemand.unlisted.has(name) || isSubscribed(clusterUrl, name);
  const types = new Map(snapshot.types);
  for (const typeUrl of [clusterUrl, endpointsUrl]) {
    const type = types.get(typeUrl);
    if (type) types.set(typeUrl, { ...type, entries: new Map([...type.entries].filter(([name]) => isGiven(name))) });
  }
  return { ...snapshot, types };
};

const nothing: ReadonlySet<string> = new Set();

interface SetChange {
  readonly to: ReadonlySet<string>;
  readonly added: ReadonlySet<string>;
  readonly dropped: ReadonlySet<string>;
}
const changes = new WeakMap<ReadonlySet<string>, SetChange>();

/** Remembers the last answer for each `from`: all streams of an audience move between the same two. */
const changeOf = (from: ReadonlySet<string>, to: ReadonlySet<string>): SetChange => {
  const known = changes.get(from);
  if (known?.to === to) return known;
  const made = { to, added: to.difference(from), dropped: from.difference(to) };
  changes.set(from, made);
  return made;
};

/** What one stream's clusters are given beside those that all are, kept in step with what it asks for. */
export class Grants {
  /** Names of hosts that the client was given one for. */
  get answered(): Set<string> {
    this.#answered ??= new Set();
    return this.#answered;
  }
  #answered: Set<string> | undefined;
  #snapshot: OnDemandSnapshot | undefined;
  /** Given and not usable yet, as far as we know: what routes to them has to wait. */
  #fresh: Set<string> | undefined;
  /** Given and not sent yet. */
  #unsent: Set<string> | undefined;
  #sinceMs = 0;

  /** To be called when the snapshot or the names of hosts may be others, before clusters are served. */
  update(
    clusters: TypeState,
    hosts: TypeState | undefined,
    to: { readonly snapshot: OnDemandSnapshot | undefined; readonly entries: ReadonlyMap<string, SnapshotEntry> },
    nowMs: number,
  ): void {
    const { snapshot } = to;
    if (snapshot === this.#snapshot && hosts?.namesChanged !== true && !clusters.resuming) return;
    this.#snapshot = snapshot;
    if (hosts) hosts.namesChanged = false;
    const before = { unlisted: clusters.unlisted, granted: clusters.granted };
    clusters.unlisted = snapshot?.unlisted ?? nothing;
    clusters.granted = snapshot ? neededBy(hosts, snapshot) : nothing;
    const hold = (name: string): void => {
      const versioned = clusters.cursor.get(name);
      if (!versioned || clusters.covers(name) || clusters.held.has(name)) return;
      if (clusters.held.size === 0) clusters.heldSinceMs = nowMs;
      clusters.held.set(name, versioned);
    };
    const { added, dropped } =
      before.unlisted.size === 0
        ? { added: clusters.cursor.size === 0 ? nothing : clusters.unlisted, dropped: nothing }
        : changeOf(before.unlisted, clusters.unlisted);
    for (const name of added) if (!before.granted.has(name)) hold(name);
    for (const name of before.granted.difference(clusters.granted)) {
      this.#unsent?.delete(name);
      hold(name);
    }
    for (const name of dropped) if (clusters.wildcard && to.entries.has(name)) clusters.owed.add(name);
    for (const name of clusters.granted.difference(before.granted)) this.#grant(clusters, to.entries.get(name), nowMs);
  }

  /** Whether what routes to clusters has to wait: endpoints of some are yet to be asked for, or to be sent. */
  mustWait(clusters: TypeState | undefined, endpoints: TypeState | undefined, lateMs: number): boolean {
    if (!this.#fresh?.size) return false;
    const isUsable = (name: string): boolean => endpoints?.names.has(name) === true && !endpoints.owed.has(name);
    for (const name of this.#fresh) if (isUsable(name)) this.#fresh.delete(name);
    if (clusters?.nacked || this.#sinceMs <= lateMs) this.#fresh.clear();
    return this.#fresh.size > 0;
  }

  get anyUnsent(): boolean {
    return this.#unsent !== undefined && this.#unsent.size > 0;
  }

  /** Whether it is sent because the client came to need it; to be asked once. */
  takes(name: string): boolean {
    return this.#unsent?.delete(name) === true;
  }

  /** When what waits for endpoints was begun to be waited for. */
  get sinceMs(): number | undefined {
    return this.#fresh?.size ? this.#sinceMs : undefined;
  }

  #grant(clusters: TypeState, entry: SnapshotEntry | undefined, nowMs: number): void {
    if (!entry || !clusters.unlisted.has(entry.name)) return;
    const held = clusters.held.get(entry.name);
    clusters.held.delete(entry.name);
    // What a returning client claims to hold is compared as all is that it holds.
    if (clusters.resuming ? clusters.cursor.get(entry.name) : held?.version === entry.version) return;
    clusters.owed.add(entry.name);
    this.#unsent ??= new Set();
    this.#unsent.add(entry.name);
    if (entry.endpointsName === undefined) return;
    this.#fresh ??= new Set();
    this.#fresh.add(entry.endpointsName);
    this.#sinceMs = nowMs;
  }
}

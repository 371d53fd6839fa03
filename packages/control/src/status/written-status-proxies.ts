/**
 * Since when each connected proxy has all that it should have: looked at now and then, never asked of the proxies. Proxies
 * that no object tells apart are counted together, and those of other control planes are counted as these tell of them.
 */
import type { ConfigObject } from "@weft/config/config-object";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import type { Concerns, ProxyKind } from "./object-concerns.ts";

export interface ProxyCount {
  readonly current: number;
  readonly total: number;
  /** Control planes that have proxies and say nothing of the object as it is; absent: none. */
  readonly silent?: number;
  /** Proxies of other control planes of which it is not known whether the object is for them; absent: none. */
  readonly left?: number;
}

/** Proxies of another control plane, in times of this one's clock. */
export interface PeerProxies {
  /** Up to when it is known to have had what was in force here. */
  readonly reachedMs: number;
  readonly groups: readonly PeerGroup[];
  readonly total: number;
  readonly left: number;
}
export interface PeerGroup {
  readonly of: ProxyKind;
  readonly total: number;
  /** How many agreed when to what was in force here then. */
  readonly agreed: readonly { readonly atMs: number; readonly count: number }[];
}
export interface Peers {
  readonly told: readonly PeerProxies[];
  /** Control planes whose word is missing. */
  readonly silent: number;
  /** Another whenever anything of this is. */
  readonly mark: string;
}

export interface ProxyProgress {
  /** Looks at the proxies. `settled`: all of them were given what is in force at that moment. */
  look(proxies: readonly ConnectedProxy[], settled: boolean, nowMs: number, peers?: Peers): void;
  /** From now on objects are for other proxies, perhaps. */
  concernedBy(concerns: Concerns): void;
  /** How many have what was in force then, of all that the object is for. */
  have(object: ConfigObject, inForceSinceMs: number): ProxyCount;
  /** Changes when an answer of `have` may have changed. */
  readonly revision: () => string;
}

const agreed: ReadonlySet<string> = new Set(["SYNCED", "NOT SENT"]);

/** It acknowledged all it was sent. */
export const agrees = ({ types }: ConnectedProxy): boolean => types().every(({ status }) => agreed.has(status));

/** Proxies of one kind, namespace and set of labels. */
interface Group {
  readonly of: ProxyKind;
  /** When each was last seen to agree, in order. */
  times: number[];
  /** As other control planes tell. */
  told: PeerGroup[];
}

const alone: Peers = { told: [], silent: 0, mark: "" };

export const createProxyProgress = (): ProxyProgress => {
  /** By proxy, its newest stream: when it was last seen to agree. */
  let agreedAt = new Map<string, number>();
  let groups: ReadonlyMap<string, Group> = new Map();
  let waiting = 0;
  /** Counts how often who is there, or what is for whom, changed. */
  let era = 0;
  let concerns: Concerns = () => true;
  let peers = alone;
  const keys = new WeakMap<ProxyKind, string>();
  let known = new WeakMap<ConfigObject, { readonly era: number; readonly groups: readonly Group[] }>();
  const keyOf = (proxy: ProxyKind): string => {
    const key = keys.get(proxy) ?? JSON.stringify([proxy.kind, proxy.namespace, Object.entries(proxy.labels).sort()]);
    keys.set(proxy, key);
    return key;
  };
  const groupsOf = (object: ConfigObject): readonly Group[] => {
    const before = known.get(object);
    if (before?.era === era) return before.groups;
    const found = [...groups.values()].filter(({ of }) => concerns(object, of));
    known.set(object, { era, groups: found });
    return found;
  };
  return {
    look(proxies, settled, nowMs, others = alone) {
      peers = others;
      const after = new Map<string, number>();
      const facts = new Map<string, ProxyKind>();
      waiting = 0;
      // The newest stream of a proxy comes last.
      for (const connected of proxies) {
        const { proxy } = connected;
        const isCurrent = settled && agrees(connected);
        if (!isCurrent) waiting++;
        after.set(proxy.id, isCurrent ? nowMs : (agreedAt.get(proxy.id) ?? Number.NEGATIVE_INFINITY));
        facts.set(proxy.id, proxy);
      }
      agreedAt = after;
      const now = new Map<string, Group>();
      const groupOf = (of: ProxyKind): Group => {
        const key = keyOf(of);
        let group = now.get(key);
        if (!group) {
          group = groups.get(key) ?? { of, times: [], told: [] };
          group.times = [];
          group.told = [];
          now.set(key, group);
        }
        return group;
      };
      for (const [id, of] of facts) groupOf(of).times.push(after.get(id) ?? Number.NEGATIVE_INFINITY);
      for (const peer of peers.told) for (const group of peer.groups) groupOf(group.of).told.push(group);
      for (const { times } of now.values()) times.sort((a, b) => a - b);
      if (now.size !== groups.size || [...now.keys()].some((key) => !groups.has(key))) era++;
      groups = now;
    },
    concernedBy(rule) {
      concerns = rule;
      known = new WeakMap();
    },
    have(object, inForceSinceMs) {
      let [current, total] = [0, 0];
      for (const { times, told } of groupsOf(object)) {
        current += times.length - firstAfter(times, inForceSinceMs);
        total += times.length;
        for (const { agreed, total: all } of told) {
          for (const { atMs, count } of agreed) if (atMs > inForceSinceMs) current += count;
          total += all;
        }
      }
      let { silent } = peers;
      let left = 0;
      for (const peer of peers.told) {
        if (peer.total > 0 && peer.reachedMs <= inForceSinceMs) silent++;
        left += peer.left;
      }
      return { current, total, ...(silent > 0 ? { silent } : {}), ...(left > 0 ? { left } : {}) };
    },
    revision: () => `${agreedAt.size} ${waiting} ${era} ${peers.mark}`,
  };
};

/** Index of the first that is later. */
const firstAfter = (sorted: readonly number[], ms: number): number => {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) > ms) high = middle;
    else low = middle + 1;
  }
  return low;
};

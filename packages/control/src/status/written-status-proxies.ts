/**
 * Since when each connected proxy has all that it should have: looked at now and then, never asked of the proxies. Proxies
 * that no object tells apart are counted together.
 */
import type { ConfigObject } from "@weft/config/config-object";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import type { Concerns, ProxyKind } from "./object-concerns.ts";

export interface ProxyCount {
  readonly current: number;
  readonly total: number;
}

export interface ProxyProgress {
  /** Looks at the proxies. `settled`: all of them were given what is in force at that moment. */
  look(proxies: readonly ConnectedProxy[], settled: boolean, nowMs: number): void;
  /** From now on objects are for other proxies, perhaps. */
  concernedBy(concerns: Concerns): void;
  /** How many have what was in force then, of all that the object is for. */
  have(object: ConfigObject, inForceSinceMs: number): ProxyCount;
  /** Changes when an answer of `have` may have changed. */
  readonly revision: () => string;
}

const agreed: ReadonlySet<string> = new Set(["SYNCED", "NOT SENT"]);

/** Proxies of one kind, namespace and set of labels. */
interface Group {
  readonly of: ProxyKind;
  /** When each was last seen to agree, in order. */
  times: number[];
}

export const createProxyProgress = (): ProxyProgress => {
  /** By proxy, its newest stream: when it was last seen to agree. */
  let agreedAt = new Map<string, number>();
  let groups: ReadonlyMap<string, Group> = new Map();
  let waiting = 0;
  /** Counts how often who is there, or what is for whom, changed. */
  let era = 0;
  let concerns: Concerns = () => true;
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
    look(proxies, settled, nowMs) {
      const after = new Map<string, number>();
      const facts = new Map<string, ProxyKind>();
      waiting = 0;
      // The newest stream of a proxy comes last.
      for (const { proxy, types } of proxies) {
        const agrees = settled && types().every(({ status }) => agreed.has(status));
        if (!agrees) waiting++;
        after.set(proxy.id, agrees ? nowMs : (agreedAt.get(proxy.id) ?? Number.NEGATIVE_INFINITY));
        facts.set(proxy.id, proxy);
      }
      agreedAt = after;
      const now = new Map<string, Group>();
      for (const [id, of] of facts) {
        const key = keyOf(of);
        let group = now.get(key);
        if (!group) {
          group = groups.get(key) ?? { of, times: [] };
          group.times = [];
          now.set(key, group);
        }
        group.times.push(after.get(id) ?? Number.NEGATIVE_INFINITY);
      }
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
      for (const { times } of groupsOf(object)) {
        current += times.length - firstAfter(times, inForceSinceMs);
        total += times.length;
      }
      return { current, total };
    },
    revision: () => `${agreedAt.size} ${waiting} ${era}`,
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

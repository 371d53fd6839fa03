/** Which configuration each connected proxy last agreed to, counted for other control planes: proxies that no object tells apart together. */
import type { ConfigObject } from "@weft/config/config-object";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import { createConfigTerms } from "./config-terms.ts";
import { type ProxyKind, selectingLabels } from "./object-concerns.ts";
import { proxyRecordLimits, type ToldGroup, type ToldProxies } from "./proxy-record.ts";
import { agrees } from "./written-status-proxies.ts";

export interface ProxyTally {
  /**
   * Looks at the proxies. `settled`: all of them were given what is in force at that moment. Without `objects` only how
   * many there are is counted.
   */
  look(
    proxies: readonly ConnectedProxy[],
    now: { readonly settled: boolean; readonly nowMs: number; readonly objects?: readonly ConfigObject[] },
  ): ToldProxies;
}

export const createProxyTally = (): ProxyTally => {
  const terms = createConfigTerms();
  /** By proxy, its newest stream: the term it last agreed in. */
  let agreedIn = new Map<string, number>();
  return {
    look(proxies, { settled, nowMs, objects }) {
      if (!objects) return countProxies(proxies);
      const newest = newestStreams(proxies);
      const synced = new Set(idsOfSynced(newest));
      const term = terms.note(objects, nowMs);
      // What came into force since the last look may not have been given to anybody yet.
      const isTaken = settled && term.sinceMs < nowMs;
      const keys = selectingLabels(objects).slice(0, proxyRecordLimits.labelsMax);
      const after = new Map<string, number>();
      const groups = new Map<string, { readonly of: ProxyKind; readonly terms: number[] }>();
      for (const [id, { proxy }] of newest) {
        const number = isTaken && synced.has(id) ? term.number : (agreedIn.get(id) ?? 0);
        after.set(id, number);
        const of = toldKind(proxy, keys);
        const key = JSON.stringify([of.kind, of.namespace, of.labels]);
        const group = groups.get(key) ?? { of, terms: [] };
        group.terms.push(number);
        groups.set(key, group);
      }
      agreedIn = after;
      const told = terms.list().slice(0, proxyRecordLimits.configsMax);
      const places = new Map(told.map(({ number }, place) => [number, place]));
      return {
        ...{ total: newest.size, synced: synced.size },
        kinds: {
          configs: told.map(({ config }) => config),
          groups: [...groups.values()].map(({ of, terms: numbers }) => groupOf(of, numbers, places)),
          left: 0,
        },
      };
    },
  };
};

/** How many there are, and have acknowledged all they were sent. */
export const countProxies = (proxies: readonly ConnectedProxy[]): Pick<ToldProxies, "total" | "synced"> => {
  const newest = newestStreams(proxies);
  return { total: newest.size, synced: idsOfSynced(newest).length };
};

/** By proxy; the newest comes last. */
const newestStreams = (proxies: readonly ConnectedProxy[]): ReadonlyMap<string, ConnectedProxy> =>
  new Map(proxies.map((connected) => [connected.proxy.id, connected]));
const idsOfSynced = (newest: ReadonlyMap<string, ConnectedProxy>): readonly string[] =>
  [...newest].flatMap(([id, connected]) => (agrees(connected) ? [id] : []));

const toldKind = ({ kind, namespace, labels }: ProxyKind, keys: readonly string[]): ProxyKind => ({
  ...{ kind, namespace },
  labels: Object.fromEntries(
    keys.flatMap((key) => {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
      return value === undefined ? [] : [[key, value]];
    }),
  ),
});

const groupOf = (of: ProxyKind, numbers: readonly number[], places: ReadonlyMap<number, number>): ToldGroup => {
  const counts = new Map<number, number>();
  for (const number of numbers) {
    const place = places.get(number);
    if (place !== undefined) counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return { of, total: numbers.length, at: [...counts].sort(([a], [b]) => a - b) };
};

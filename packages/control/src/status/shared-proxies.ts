/**
 * Counts of proxies over all control planes that share a store: each tells of its own under its lease, and adds up what the
 * others tell. Nobody's clock is compared with another's.
 */
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import type { Replica } from "../store/shared/replica.ts";
import type { SharedRecord } from "../store/shared/shared-mirror.ts";
import type { SharedStore } from "../store/shared/shared-store.ts";
import type { ConfigTerms } from "./config-terms.ts";
import { formatToldProxies, parseToldProxies, proxiesGroup, proxyRecordKey, type ToldProxies } from "./proxy-record.ts";
import { countProxies, createProxyTally } from "./proxy-tally.ts";
import { peerProxies } from "./told-times.ts";
import { findingOfWord, type Word } from "./told-words.ts";
import type { PeerProxies, Peers } from "./written-status-proxies.ts";

export interface SharedProxiesOptions {
  readonly store: Pick<SharedStore, "get" | "group" | "follow" | "write" | "status">;
  readonly replica: Pick<Replica, "id" | "all" | "lease" | "onJoined">;
  readonly proxies: () => readonly ConnectedProxy[];
  /** Whether all proxies were given what is in force. */
  readonly settled: () => boolean;
  /** What is in force, where somebody may write the status of objects; absent: only totals are told. */
  readonly objects?: (() => readonly ConfigObject[]) | undefined;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export interface SharedProxies extends Disposable {
  /** Over all control planes, this one among them. */
  everywhere(): ProxiesEverywhere;
  /** What the others tell, in times of that configuration's terms here. */
  peers(terms: Pick<ConfigTerms, "lastMs">): Peers;
  findings(): readonly Finding[];
}

export interface ProxiesEverywhere {
  /** Control planes whose proxies are counted. */
  readonly controlPlanes: number;
  readonly proxies: number;
  readonly synced: number;
  /** How long ago the oldest word that is counted came. */
  readonly oldestMs: number;
  /** Control planes that are there and whose proxies are not counted. */
  readonly silent: number;
}

export const sharedProxiesLimits = {
  /** How often the proxies are looked at, and written of at most. */
  lookMs: 2_000,
  /** What did not change is written again after so long: who says nothing for longer has no way to. */
  repeatMs: 60_000,
  /** A word older than this, as it came here, is not counted any more. */
  staleMs: 150_000,
  /** Who has come says something within this time. */
  silentMs: 10_000,
  /** Control planes that are counted, the first by name. */
  controlPlanesMax: 64,
  findingsMax: 20,
} as const;

/** Tells and listens until disposed; what it told ends with the replica's lease. */
export const openSharedProxies = (options: SharedProxiesOptions): SharedProxies => {
  const { store, replica, proxies, settled, objects, clock, setTimer, log } = options;
  const { lookMs, repeatMs, staleMs, silentMs, controlPlanesMax, findingsMax } = sharedProxiesLimits;
  const key = proxyRecordKey(replica.id);
  const tally = createProxyTally();
  const read = new WeakMap<SharedRecord, ToldProxies | { readonly unreadable: true }>();
  /** By key: when its last word came, and the how manyth it was. */
  const heard = new Map<string, { readonly atMs: number; readonly count: number }>();
  /** Who is there without a word, and since when. */
  const quiet = new Map<string, number>();
  let words = 0;
  let writtenMs = Number.NEGATIVE_INFINITY;
  let timer: Disposable | undefined;
  let disposed = false;

  const hear = (name: string): void => void heard.set(name, { atMs: clock.nowMs(), count: ++words });
  // What a replica that starts without the store knows of is of another day.
  if (store.status().connected) for (const name of store.group(proxiesGroup).keys()) hear(name);
  const following = store.follow(proxiesGroup, (changes) => {
    for (const { key: name, after } of changes) {
      if (after) hear(name);
      else heard.delete(name);
    }
  });

  const look = (): ToldProxies => {
    const nowMs = clock.nowMs();
    return tally.look(proxies(), { settled: settled(), nowMs, ...(objects ? { objects: objects() } : {}) });
  };
  const tell = async (): Promise<void> => {
    const lease = replica.lease();
    const own = look();
    if (lease === undefined) return;
    const value = formatToldProxies(own);
    const nowMs = clock.nowMs();
    if (store.get(key)?.value === value && nowMs - writtenMs < repeatMs) return;
    const outcome = await store.write({ seen: [], puts: [{ key, value, lease }] });
    if (outcome.kind === "conflict") throw new Error("this replica's lease is over");
    writtenMs = nowMs;
  };
  const round = (): void => {
    timer = undefined;
    tell()
      .catch((error: unknown) => log.debug("this replica cannot tell of its proxies", { error: String(error) }))
      .finally(() => {
        if (!disposed) timer ??= setTimer(round, lookMs);
      });
  };
  timer = setTimer(round, 0);
  replica.onJoined(() => {
    // While a round is under way the next comes soon enough.
    if (disposed || !timer) return;
    timer[Symbol.dispose]();
    timer = setTimer(round, 0);
  });

  const parsed = (record: SharedRecord): ToldProxies | undefined => {
    const known = read.get(record) ?? parseToldProxies(record.value) ?? { unreadable: true };
    read.set(record, known);
    return "unreadable" in known ? undefined : known;
  };
  const isQuiet = (id: string, nowMs: number): boolean => {
    const sinceMs = quiet.get(id) ?? nowMs;
    quiet.set(id, sinceMs);
    return nowMs - sinceMs >= silentMs;
  };
  /** Of the others; whoever came just now is not missed yet. */
  const wordsOf = (): readonly Word[] => {
    const nowMs = clock.nowMs();
    const others = replica.all().filter((id) => id !== replica.id);
    for (const id of quiet.keys()) if (!others.includes(id)) quiet.delete(id);
    return others.flatMap((id, index): Word[] => {
      if (index >= controlPlanesMax) return [{ kind: "silent", id }];
      const record = store.get(proxyRecordKey(id));
      const came = heard.get(proxyRecordKey(id));
      if (record && came && nowMs - came.atMs <= staleMs) {
        quiet.delete(id);
        const told = parsed(record);
        return [
          told ? { kind: "told", id, told, ageMs: nowMs - came.atMs, heard: came.count } : { kind: "unreadable", id },
        ];
      }
      return isQuiet(id, nowMs) ? [{ kind: "silent", id }] : [];
    });
  };

  return {
    everywhere() {
      const own = countProxies(proxies());
      const all = wordsOf();
      const told = all.flatMap((word) => (word.kind === "told" ? [word] : []));
      return {
        controlPlanes: told.length + 1,
        proxies: told.reduce((sum, word) => sum + word.told.total, own.total),
        synced: told.reduce((sum, word) => sum + word.told.synced, own.synced),
        oldestMs: Math.round(Math.max(0, ...told.map(({ ageMs }) => ageMs))),
        silent: all.length - told.length,
      };
    },
    peers(terms) {
      const all = wordsOf();
      const told: PeerProxies[] = [];
      for (const word of all) {
        const one = word.kind === "told" ? peerProxies(word.told, terms) : undefined;
        if (one) told.push(one);
      }
      const mark = all.map((word) => (word.kind === "told" ? word.heard : word.kind)).join(" ");
      return { told, silent: all.length - told.length, mark };
    },
    findings: () =>
      wordsOf()
        .flatMap((word) => findingOfWord(word) ?? [])
        .slice(0, findingsMax),
    [Symbol.dispose]: () => {
      disposed = true;
      timer?.[Symbol.dispose]();
      following[Symbol.dispose]();
    },
  };
};

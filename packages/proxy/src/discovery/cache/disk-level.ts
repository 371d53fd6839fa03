/**
 * The second level of the discovery cache: files of this machine. What changes is added to one of some files, so a
 * change costs its own bytes; a file is written anew by itself when half of it is of no use. All files together keep to
 * a bound: entries that nobody asked for longest go first, then what comes last is not kept.
 */
import type { Logger } from "@weft/core/world";
import type { SubscribedKind } from "@weft/xds/resource";
import type { CacheFiles } from "./cache-files.ts";
import type { LevelCounters } from "./cache-stats.ts";
import { createDiskShard, type DiskShard, type EntryWrite, type ShardTrouble } from "./disk-shard.ts";
import { bodySum, type EntryMark, encodeEntry, entryKey, formatHeader } from "./entry-record.ts";
import { namesToldMax, shardCount, touchEveryMs } from "./limits.ts";

/** An entry to keep. */
export interface KeptEntry extends Omit<EntryMark, "length" | "sum"> {
  readonly body: Uint8Array;
}

export interface DiskLevelOptions {
  readonly files: CacheFiles;
  readonly nodeId: string;
  readonly bytesMax: number;
  /** Tells this process from others that use the same folder. */
  readonly writerId: string;
  readonly log: Logger;
  readonly counters: LevelCounters<"l2">;
  /** In memory: it is not to go to make room on disk for others of its sort. */
  readonly isHeld: (key: string) => boolean;
}

export interface DiskLevel {
  /** Reads so many more of the files, or all. What is damaged, or another's, is told and left out. True when all are read. */
  load(filesMax?: number): boolean;
  mark(key: string): EntryMark | undefined;
  /** By its name or one of its aliases. */
  find(kind: SubscribedKind, name: string): EntryMark | undefined;
  marks(): Iterable<readonly [key: string, mark: EntryMark]>;
  /** The JSON of an entry; `undefined` where there is none, or none that is whole. */
  read(key: string): object | undefined;
  /** The JSON of those that are there and whole. */
  readMany(keys: readonly string[]): ReadonlyMap<string, object>;
  /** Keys that were found damaged since the cache was opened, and were not written anew. */
  damaged(): ReadonlySet<string>;
  /** Writes what differs from what is there. Gives the keys of those that have no room. Throws where the disk does. */
  keep(entries: readonly KeptEntry[]): readonly string[];
  remove(keys: readonly string[], atMs: number): void;
  /**
   * Does a part of what makes room for so many bytes, of about one file; false while there is more to do. Where nothing
   * may go it is true too. What `keep` has to do for itself takes as long as it takes.
   */
  prepare(bytes: number): boolean;
  /** Writes one file anew of which entries are to go; false where there is none. */
  tidy(): boolean;
  /** Whether this process may write; another that came later may have taken that over. */
  owns(): boolean;
  /** Lets go of the folder. */
  release(): void;
  /** Grows when files were found to be what somebody else made of them. */
  epoch(): number;
  usage(): { readonly entries: number; readonly bytes: number; readonly bytesMax: number };
}

const ownerFile = "owner";
/** Of the bound. */
const deadShareMin = 1 / 32;

/** FNV-1a: which file a key is in is part of the format. */
const shardOf = (key: string): number => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % shardCount;
};
const shardName = (number: number): string => `entries-${String(number).padStart(3, "0")}`;

/** An eighth of those that are there because they were asked for were last used before, by some of the files. */
const oldAge = (shards: readonly DiskShard[]): number => {
  const agesIn = (some: readonly DiskShard[]): number[] =>
    some.flatMap(({ entries }) => [...entries.values()].flatMap(({ mark }) => (mark.demanded ? [mark.atMs] : [])));
  const looked = agesIn(shards.filter((_, at) => at % agesEvery === 0));
  const ages = (looked.length >= agesMin ? looked : agesIn(shards)).sort((a, b) => a - b);
  return ages[Math.floor(ages.length / 8)] ?? Number.NEGATIVE_INFINITY;
};
const agesMin = 256;
const agesEvery = 16;
/** Files that are looked at together for what may go. */
const shardsLookedAt = 4;
/** So often it is not tried to make room after nothing could go. */
const fruitlessWaits = 64;

const someOf = (names: readonly string[]): string =>
  names.length <= namesToldMax
    ? names.join(", ")
    : `${names.slice(0, namesToldMax).join(", ")} and ${names.length - namesToldMax} more`;

export const createDiskLevel = (options: DiskLevelOptions): DiskLevel => {
  const { files, nodeId, bytesMax, log, counters } = options;
  const shards = Array.from({ length: shardCount }, (_, number) => createDiskShard(shardName(number), files, nodeId));
  const lost = new Set<string>();
  /** The key of what goes by another name, as it was written or read last. */
  const aliased = new Map<string, string>();
  let epoch = 0;
  const toLoad = [...shards];
  const troubles: (readonly [DiskShard, ShardTrouble])[] = [];
  let toldFailure = "";
  let isOwner = false;
  let standsBack = false;

  const shardFor = (key: string): DiskShard => shards[shardOf(key)] as DiskShard;
  const readMany = (keys: readonly string[]): ReadonlyMap<string, object> => {
    const found = new Map<string, object>();
    for (const [shard, all] of Map.groupBy(keys, shardFor)) {
      const here = all.filter((key) => shard.entries.has(key));
      try {
        const bodies = here.length === 1 ? readOne(shard, here[0] ?? "") : shard.readMany(here);
        for (const [key, body] of bodies) found.set(key, JSON.parse(body.toString()) as object);
      } catch (error) {
        failed(shard.name, error);
        continue;
      }
      const damaged = here.filter((key) => !found.has(key));
      if (damaged.length > 0) tellDamaged(shard, damaged);
    }
    return found;
  };
  const readOne = (shard: DiskShard, key: string): ReadonlyMap<string, Buffer> => {
    const body = shard.read(key);
    return new Map(body ? [[key, body]] : []);
  };
  const tellDamaged = (shard: DiskShard, keys: readonly string[]): void => {
    lose(keys);
    log.warn("files of the discovery cache are damaged: what is whole is used", {
      ...{ code: "WF3320", files: shard.name, lost: someOf(keys) },
    });
  };
  const markOf = (key: string): EntryMark | undefined => shardFor(key).entries.get(key)?.mark;
  const bytes = (): number => shards.reduce((sum, shard) => sum + shard.bytes, 0);

  const alias = (mark: EntryMark): void => {
    for (const name of mark.aliases) aliased.set(entryKey({ kind: mark.kind, name }), entryKey(mark));
  };
  const lose = (keys: readonly string[]): void => {
    for (const key of keys) lost.add(key);
    counters.corrupted.add(keys.length);
  };
  const tell = (troubles: readonly (readonly [DiskShard, ShardTrouble])[]): void => {
    const foreign = troubles.filter(([, trouble]) => trouble.foreign !== undefined);
    if (foreign.length > 0)
      log.warn("last good resources are not used", {
        ...{ code: "WF3305", why: `they belong to ${foreign[0]?.[1].foreign}`, files: foreign.length },
      });
    const own = troubles.filter(([, trouble]) => trouble.foreign === undefined);
    if (own.length === 0) return;
    const damaged = own.flatMap(([, trouble]) => trouble.damaged);
    // What cannot be told counts as one for each file.
    counters.corrupted.add(own.filter(([, trouble]) => trouble.damaged.length === 0).length);
    lose(damaged);
    log.warn("files of the discovery cache are damaged: what is whole is used", {
      code: "WF3320",
      files: someOf(own.map(([{ name }]) => name)),
      lost: damaged.length === 0 ? "none that can be named" : someOf(damaged),
      unreadable: own.reduce((sum, [, trouble]) => sum + trouble.unreadable, 0),
      cut: own.filter(([, trouble]) => trouble.cut).length,
    });
  };
  const loadShard = (shard: DiskShard): void => {
    try {
      const trouble = shard.load();
      if (trouble) troubles.push([shard, trouble]);
      for (const { mark } of shard.entries.values()) alias(mark);
    } catch (error) {
      failed(shard.name, error);
    }
  };
  const tellTroubles = (): void => tell(troubles.splice(0));
  const failed = (file: string, error: unknown): void => {
    counters.errors.add(1);
    const why = String(error);
    if (why !== toldFailure) log.error("last good resources are not used", { code: "WF3305", why, files: file });
    toldFailure = why;
  };
  const load = (filesMax = shardCount): boolean => {
    for (const shard of toLoad.splice(0, filesMax)) loadShard(shard);
    if (toLoad.length > 0) return false;
    tellTroubles();
    return true;
  };

  /** Files that are to be written anew: there is more in them than is to stay. */
  const untidy = new Set<DiskShard>();
  const compact = (shard: DiskShard): void => {
    const damaged = shard.compact();
    untidy.delete(shard);
    if (damaged.length > 0) tellDamaged(shard, damaged);
  };

  /** Room for one file more than there is: that is how much is needed while one is written anew. */
  const fits = (added: number): boolean => {
    const largest = Math.max(...shards.map((shard) => shard.bytes), added);
    return bytes() + added + largest <= bytesMax;
  };
  /** Writing files anew is worth it where that gives much: a full cache is not to do so with every change. */
  const makeRoom = (added: number): boolean => {
    if (fits(added)) return true;
    const dead = shards.reduce((sum, shard) => sum + shard.deadBytes, 0);
    if (dead < bytesMax * deadShareMin) return evict(added);
    for (const shard of [...shards].sort((a, b) => b.deadBytes - a.deadBytes)) {
      if (shard.deadBytes <= formatHeader(nodeId).length) break;
      compact(shard);
      if (fits(added)) return true;
    }
    return evict(added);
  };
  const tidy = (): boolean => {
    const [shard] = untidy;
    if (shard) compact(shard);
    return shard !== undefined;
  };
  /** Files that are still to give up what was last used before; how much was given so far. */
  let round: { readonly before: number; readonly left: DiskShard[]; given: number } | undefined;
  let fruitless = 0;
  const prepare = (wanted: number): boolean => {
    if (fits(Math.min(wanted, bytesMax * deadShareMin))) return true;
    if (round) return giveUpSome(round);
    if (tidy()) return false;
    const dead = shards.reduce((sum, shard) => sum + shard.deadBytes, 0);
    if (dead >= bytesMax * deadShareMin) {
      for (const shard of shards) if (shard.deadBytes > dead / (2 * shardCount)) untidy.add(shard);
      return false;
    }
    if (fruitless > 0) {
      fruitless--;
      return true;
    }
    round = { before: oldAge(shards), left: [...shards], given: 0 };
    return false;
  };
  /** True when the round is over and nothing may go. No file is written before: others have what goes with it. */
  const giveUpSome = (now: NonNullable<typeof round>): boolean => {
    for (const shard of now.left.splice(0, shardsLookedAt)) now.given += giveUp(shard, now.before);
    if (now.left.length > 0) return false;
    round = undefined;
    if (now.given === 0) fruitless = fruitlessWaits;
    return now.given === 0;
  };
  /** Of those in the file that were used last before, and what only they need. */
  const giveUp = (shard: DiskShard, before: number): number => {
    const going = new Set<string>();
    for (const [key, { mark }] of shard.entries)
      if (mark.demanded && mark.atMs <= before && !options.isHeld(key))
        for (const one of [key, ...mark.needs]) if (!options.isHeld(one)) going.add(one);
    for (const key of going) {
      const of = shardFor(key);
      if (!of.entries.has(key)) continue;
      of.drop([key]);
      untidy.add(of);
    }
    counters.evicted.add(going.size);
    return going.size;
  };
  /** Those that were in use longest ago go first, with what only they need. */
  const evict = (added: number): boolean => {
    const idle = [...marks()].filter(([key, { demanded }]) => demanded && !options.isHeld(key));
    idle.sort(([, a], [, b]) => a.atMs - b.atMs);
    while (idle.length > 0) {
      // An eighth at a time: what makes room is writing files anew.
      const going = new Set<string>();
      for (const [key, { needs }] of idle.splice(0, Math.max(1, Math.ceil(idle.length / 8))))
        for (const one of [key, ...needs]) if (!options.isHeld(one)) going.add(one);
      counters.evicted.add(going.size);
      for (const shard of shards) {
        const here = [...going].filter((key) => shard.entries.has(key));
        if (here.length === 0) continue;
        shard.drop(here);
        compact(shard);
      }
      if (fits(added)) return true;
    }
    return false;
  };

  function* marks(): Generator<readonly [string, EntryMark]> {
    for (const shard of shards) for (const [key, { mark }] of shard.entries) yield [key, mark];
  }

  const isSame = (known: EntryMark, { source, version, demanded, aliases, needs, atMs }: EntryMark): boolean =>
    known.source === source &&
    known.version === version &&
    known.demanded === demanded &&
    Math.abs(known.atMs - atMs) < touchEveryMs &&
    known.aliases.join("\n") === aliases.join("\n") &&
    known.needs.join("\n") === needs.join("\n");

  const encoded = ({ body, ...entry }: KeptEntry): EntryWrite | undefined => {
    const mark = { ...entry, length: body.length, sum: bodySum(body) };
    const known = markOf(entryKey(entry));
    if (known?.sum === mark.sum && isSame(known, mark)) return undefined;
    return { mark, ...encodeEntry(nodeId, mark, body) };
  };

  const write = (shard: DiskShard, writes: readonly EntryWrite[]): boolean => {
    const added = writes.reduce((sum, one) => sum + one.bytes.length, formatHeader(nodeId).length);
    if (!makeRoom(added)) return false;
    if (!shard.write(writes)) {
      // Somebody else changed the file: what is there now is what counts.
      epoch++;
      loadShard(shard);
      tellTroubles();
      if (!shard.write(writes)) throw new Error(`${shard.name} is changed by somebody else`);
    }
    for (const { mark } of writes) {
      lost.delete(entryKey(mark));
      alias(mark);
    }
    return true;
  };

  const claim = (): void => {
    files.replace(ownerFile, Buffer.from(options.writerId));
    isOwner = true;
    if (standsBack) log.info("this process writes the discovery cache again", { code: "WF3322" });
    standsBack = false;
  };

  const writeAll = (writes: readonly EntryWrite[]): readonly string[] => {
    const byShard = Map.groupBy(writes, ({ mark }) => shardFor(entryKey(mark)));
    const noRoom: string[] = [];
    for (const [shard, here] of byShard)
      if (!write(shard, here)) noRoom.push(...here.map(({ mark }) => entryKey(mark)));
    return noRoom;
  };

  return {
    load,
    mark: markOf,
    find: (kind, name) => {
      const key = entryKey({ kind, name });
      const other = aliased.get(key);
      const found = markOf(key) ?? (other === undefined ? undefined : markOf(other));
      if (found?.name === name || found?.aliases.includes(name)) return found;
      aliased.delete(key);
      return undefined;
    },
    marks,
    read: (key) => readMany([key]).get(key),
    readMany,
    prepare,
    tidy,
    damaged: () => lost,
    keep: (entries) => writeAll(entries.flatMap((entry) => encoded(entry) ?? [])),
    remove: (keys, atMs) => {
      const gone = keys.flatMap((key): EntryWrite[] => {
        const mark = markOf(key);
        if (!mark) return [];
        const none = { ...mark, atMs, length: 0, sum: bodySum(new Uint8Array()), version: "", aliases: [], needs: [] };
        return [{ mark: none, ...encodeEntry(nodeId, none, new Uint8Array()) }];
      });
      if (gone.length > 0) writeAll(gone);
    },
    owns: () => {
      const owner = isOwner ? files.read(ownerFile)?.toString() : undefined;
      if (!isOwner || owner === undefined) claim();
      else if (owner !== options.writerId) {
        if (!standsBack)
          log.warn("another process writes this discovery cache: this one only reads it", {
            ...{ code: "WF3322", hint: "give each sidecar a --data folder of its own" },
          });
        standsBack = true;
        return false;
      }
      return true;
    },
    release: () => {
      if (isOwner && files.read(ownerFile)?.toString() === options.writerId) files.remove(ownerFile);
    },
    epoch: () => epoch,
    usage: () => ({
      entries: shards.reduce((sum, { entries }) => sum + entries.size, 0),
      bytes: bytes(),
      bytesMax,
    }),
  };
};

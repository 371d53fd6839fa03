/**
 * The discovery cache: what is in force and was asked for by name (level 1), files of this machine (level 2), and the
 * control planes (level 3). What is found at one level is put into those above it. Level 2 answers at once what was
 * current within a TTL, and everything while no control plane is connected; else the control plane is asked, and level
 * 2 answers where that says nothing in time.
 */
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { OfferedChange, Refusal } from "@weft/xds/client-offer";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { ResourceKind, SubscribedKind } from "@weft/xds/resource";
import type { Cluster } from "../../clusters/cluster.ts";
import type { DemandCache } from "../../on-demand/demands.ts";
import type { DemandedKind, OnDemandDesk } from "../../on-demand/on-demand.ts";
import type { Subscriptions } from "../../on-demand/subscriptions.ts";
import { needsOf } from "../held-resource.ts";
import type { ResourceOffer, ResourceStore } from "../resource-store.ts";
import type { XdsClient } from "../xds-client.ts";
import type { CacheFiles } from "./cache-files.ts";
import type { CacheCounters } from "./cache-stats.ts";
import { createDiskLevel, type DiskLevel } from "./disk-level.ts";
import { createDiskWriter, type HeldEntry } from "./disk-writer.ts";
import { type EntryMark, entryKey } from "./entry-record.ts";
import { clustersOfHost, createEntryUse } from "./entry-use.ts";
import { type FormerFile, readFormer } from "./former-last-good.ts";
import { cacheMemoryBytesMax, cacheTtlMsDefault, namesToldMax } from "./limits.ts";
import { createMemoryLevel, type MemoryEntry, type MemoryLevel } from "./memory-level.ts";
import { type RestoredEntries, restoreEntries, type SavedResources, standInVersion } from "./restore-entries.ts";

/** Where level 2 is kept. */
export interface CacheDisk {
  readonly files: CacheFiles;
  readonly bytesMax: number;
  /** Tells this process from others that use the same folder. */
  readonly writerId: string;
  /** What an older sidecar has left. */
  readonly former?: FormerFile | undefined;
}

export interface CacheSettings {
  readonly ttlMs?: number | undefined;
  readonly disk?: CacheDisk | undefined;
}

export interface DiscoveryCacheOptions extends CacheSettings {
  readonly store: ResourceStore;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly counters: CacheCounters;
  readonly onDemand: OnDemandDesk | undefined;
  readonly demanded: () => Subscriptions | undefined;
  readonly clusters: () => readonly Cluster[];
  readonly ownSecrets: ReadonlySet<string>;
  readonly offer: (source: string, of: SubscribedKind, changes: readonly OfferedChange[]) => readonly Refusal[];
  /** What is asked over a source, where it is. */
  readonly client: (of: SubscribedKind, source: string) => XdsClient | undefined;
  /** All that was to come from the control plane has come from it. */
  readonly settled: () => boolean;
  /** What is wanted may have changed. */
  readonly sync: () => void;
}

export interface CacheView {
  readonly memory: readonly (MemoryEntry & { readonly kind: DemandedKind })[];
  readonly memoryBytes: number;
  readonly disk: ReturnType<DiskLevel["usage"]> | undefined;
  readonly diskEntries: () => readonly EntryMark[];
  readonly counters: CacheCounters;
}

export interface DiscoveryCache extends Disposable {
  /** Something that is in force, or is to be, has changed. */
  changed(): void;
  /** Writes all there is now. */
  flush(): void;
  /** Offers what that source gave before; false where nothing of it is known. */
  restore(source: string): boolean;
  /** What the control plane is about to say. What this gives is to be told what was refused of it. */
  hear(source: string, of: SubscribedKind, changes: readonly OfferedChange[]): (refused: readonly Refusal[]) => void;
  /** A source is not connected: those that wait get what was known of before. */
  fallBack(source: string): void;
  view(): CacheView;
}

/** Keys that agents hand over are theirs to keep. */
const isKept = (of: SubscribedKind, source: string): boolean =>
  source === "ads" || (source.startsWith("api:") && of !== "secret");

const storedKinds: readonly ResourceKind[] = ["cluster", "endpoints", "listener", "route", "secret"];

export const createDiscoveryCache = (options: DiscoveryCacheOptions): DiscoveryCache => {
  const { store, clock, setTimer, log, counters, onDemand, demanded } = options;
  const ttlMs = options.ttlMs ?? cacheTtlMsDefault;
  const useOf = createEntryUse({ clusters: options.clusters, demanded, clock });

  const heldOf = (of: ResourceKind, name: string) => {
    const entry = store.entries(of).get(name);
    return entry?.active ?? entry?.warming;
  };
  const needsOfCluster = (json: object): readonly string[] =>
    needsOf("cluster", json as ClusterJson).flatMap((need) => {
      const held = heldOf(need.of, need.name);
      return held && isKept(need.of, held.source) ? [entryKey({ kind: need.of, name: need.name })] : [];
    });

  function* held(): Generator<HeldEntry> {
    for (const kind of storedKinds)
      for (const [name, { active }] of store.entries(kind)) {
        if (!active || !isKept(kind, active.source) || active.version === standInVersion) continue;
        const { source, version } = active;
        const json = (kind === "route" && demanded()?.givenTable(name)?.json) || active.json;
        const isDemanded = kind === "cluster" && onDemand?.clusters.has(source, name) === true;
        yield { ...{ kind, name, source, version, json }, demanded: isDemanded, aliases: [], needs: needsIn(json) };
      }
    for (const host of demanded()?.learnedHosts() ?? [])
      yield { ...host, kind: "virtualHost", version: "", demanded: true, needs: () => needsOfHost(host.json) };
  }
  /** Clusters that come with a host are of no use without it, nor it without them. */
  const needsOfHost = (json: VirtualHostJson): readonly string[] =>
    (clustersOfHost(json) ?? []).flatMap((name) => {
      const cluster = heldOf("cluster", name);
      return cluster && isKept("cluster", cluster.source)
        ? [entryKey({ kind: "cluster", name }), ...needsOfCluster(cluster.json)]
        : [];
    });
  const needsIn = (json: object) => (): readonly string[] => needsOfCluster(json);

  const { disk: place } = options;
  const isHeld = (key: string): boolean => {
    const space = key.indexOf(" ");
    const [kind, name] = [key.slice(0, space) as SubscribedKind, key.slice(space + 1)];
    return kind === "virtualHost" ? demanded()?.isLearned(name) === true : heldOf(kind, name) !== undefined;
  };
  const disk =
    place &&
    createDiskLevel({
      ...{ files: place.files, nodeId: options.nodeId, bytesMax: place.bytesMax, writerId: place.writerId },
      ...{ log, counters: counters.l2, isHeld },
    });
  const isLearned = (of: SubscribedKind, name: string): boolean =>
    of === "virtualHost" && demanded()?.isLearned(name) === true;
  const findGone = () => {
    const wanted = new Set(store.wants().flatMap(({ of, names }) => [...names].map((name) => `${of} ${name}`)));
    return (kind: SubscribedKind, name: string): boolean =>
      kind === "virtualHost" || (heldOf(kind, name) === undefined && !wanted.has(`${kind} ${name}`));
  };
  const writer =
    disk &&
    createDiskWriter({
      ...{ disk, held, findGone, clock, setTimer, log, counters: counters.l2 },
      settled: options.settled,
      written: () => place?.former?.remove(),
    });

  const memoryOf = (of: DemandedKind): MemoryLevel =>
    createMemoryLevel({
      ...{ ttlMs, bytesMax: cacheMemoryBytesMax, clock, setTimer, counters: counters.l1 },
      useOf: (name) => useOf(of, name),
      refreshed: (source, name) => {
        if (options.client(of, source)?.state.connected) counters.l3.refreshed.add(1);
        const mark = disk?.find(of, name);
        if (mark) writer?.touch(entryKey(mark));
      },
      release: (source, name) => {
        demanded()?.release(of, source, name);
        options.sync();
      },
    });
  const memory = { cluster: memoryOf("cluster"), virtualHost: memoryOf("virtualHost") };

  const sizeOf = (of: DemandedKind, name: string): number => {
    if (of === "virtualHost") return JSON.stringify(demanded()?.learnedHost(name) ?? "").length;
    const json = heldOf("cluster", name)?.json;
    if (!json) return 0;
    const needed = needsOf("cluster", json).map((need) => heldOf(need.of, need.name)?.json ?? "");
    return [json, ...needed].reduce((sum, one) => sum + JSON.stringify(one).length, 0);
  };

  /** Offers an entry of the disk with what it needs; false where something of it is lost or refused. */
  const fill = (of: DemandedKind, mark: EntryMark): boolean => {
    const { source, aliases } = mark;
    const read = (key: string): OfferedChange | undefined => {
      const one = disk?.mark(key);
      const json = one && disk?.read(key);
      return one && json ? { name: one.name, version: one.version, json: json as never, aliases } : undefined;
    };
    const own = read(entryKey(mark));
    const needed = mark.needs.flatMap((key) => (isHeld(key) ? [] : [{ key, one: read(key) }]));
    if (!own || needed.some(({ one }) => one === undefined)) return false;
    const put = (kind: SubscribedKind, from: string, one: OfferedChange): boolean => {
      if (options.offer(from, kind, [one]).length > 0) {
        counters.l2.corrupted.add(1);
        return false;
      }
      // Of a virtual host the server knows no version.
      if (kind !== "virtualHost") options.client(kind, from)?.resume(kind, new Map([[one.name, one.version]]));
      return true;
    };
    const putNeeded = (): boolean =>
      needed.every(({ key, one }) => {
        const need = disk?.mark(key);
        return one === undefined || need === undefined || put(need.kind, need.source, one);
      });
    // What a cluster needs comes after it, so that it is wanted when it comes; a host comes after its clusters.
    const filled = of === "cluster" ? put(of, source, own) && putNeeded() : putNeeded() && put(of, source, own);
    if (!filled) return false;
    counters.l1.filled.add(1);
    options.sync();
    return true;
  };

  /** Whether level 2 has answered. */
  const lookUp = (of: DemandedKind, source: string, name: string, late: boolean): boolean => {
    if (!disk) return false;
    disk.load();
    const mark = disk.find(of, name);
    const ageMs = mark ? clock.wallMs() - mark.atMs : 0;
    const isUsable = mark?.source === source && (late || Math.abs(ageMs) <= ttlMs || !isConnected(of, source));
    const filled = mark !== undefined && isUsable && fill(of, mark);
    counters.l2[filled ? "hits" : "misses"].add(1);
    return filled;
  };
  const isConnected = (of: DemandedKind, source: string): boolean =>
    options.client(of, source)?.state.connected === true;

  const hooks = (of: DemandedKind): DemandCache => {
    /** Answered by the disk: when it is found that is no answer of the control plane. */
    const fromDisk = new Set<string>();
    const tryDisk = (source: string, name: string, late: boolean): void => {
      fromDisk.add(`${source}\n${name}`);
      if (!lookUp(of, source, name, late)) fromDisk.delete(`${source}\n${name}`);
    };
    return {
      wanted: (source, name) => {
        counters.l1.misses.add(1);
        // Not within the request that asks.
        queueMicrotask(() => {
          if (onDemandOf(of)?.awaits(name)) tryDisk(source, name, false);
        });
      },
      found: (source, name, isNew) => {
        if (isNew && !fromDisk.delete(`${source}\n${name}`)) {
          counters.l3.hits.add(1);
          counters.l1.filled.add(1);
        }
        memory[of].put(source, name, sizeOf(of, name));
        writer?.changed();
      },
      gone: (source, name) => {
        fromDisk.delete(`${source}\n${name}`);
        memory[of].remove(source, name);
      },
      late: (source, name) => {
        counters.l3.misses.add(1);
        tryDisk(source, name, true);
      },
      awaited: (source, name) => tryDisk(source, name, true),
      makeRoom: () => {
        const made = memory[of].makeRoom();
        if (!made) counters.l1.overflow.add(1);
        return made;
      },
    };
  };
  const onDemandOf = (of: DemandedKind) => (of === "cluster" ? onDemand?.clusters : onDemand?.hosts);
  const demandedKinds: readonly DemandedKind[] = ["cluster", "virtualHost"];
  for (const of of demandedKinds) onDemandOf(of)?.keepIn(hooks(of));

  const savedBy = (source: string): SavedResources => {
    const saved = new Map<ResourceKind, ResourceOffer[]>(storedKinds.map((kind) => [kind, []]));
    if (!disk) return saved;
    disk.load();
    const marks = [...disk.marks()].filter(
      ([, { source: from, demanded: isDemanded, kind }]) => from === source && !isDemanded && kind !== "virtualHost",
    );
    const jsons = disk.readMany(marks.map(([key]) => key));
    for (const [key, { kind, name, version }] of marks) {
      const json = jsons.get(key);
      if (json && kind !== "virtualHost") saved.get(kind)?.push({ name, version, json });
    }
    if (source !== "ads" || [...saved.values()].some(({ length }) => length > 0)) return saved;
    return readFormer(place?.former, options.nodeId, log) ?? saved;
  };
  const tellRestored = (source: string, { count, standIns, leftOut }: RestoredEntries): void => {
    counters.l2.hits.add(count);
    counters.l2.misses.add(standIns.length + leftOut.length);
    counters.l1.filled.add(count);
    const resources = count - leftOut.length;
    log.warn("no control plane answers: serving the last good resources", { code: "WF3306", source, resources });
    if (standIns.length + leftOut.length === 0) return;
    log.error(
      "resources that others need are not in the discovery cache: what needs them answers 503 until they come",
      {
        ...{ code: "WF3323", standIns: standIns.slice(0, namesToldMax).join(", "), count: standIns.length },
        leftOut: leftOut.slice(0, namesToldMax).join(", "),
      },
    );
  };

  return {
    changed: () => writer?.changed(),
    flush: () => writer?.flush(),
    restore: (source) => {
      const isKnown = (of: ResourceKind, name: string): boolean =>
        (of === "secret" && options.ownSecrets.has(name)) || heldOf(of, name) !== undefined;
      const restored = restoreEntries(savedBy(source), { source, isKnown });
      if (restored.count === 0) return false;
      for (const { of, changes } of restored.offers) {
        const refused = options.offer(source, of, changes);
        if (refused.length > 0) counters.l2.corrupted.add(refused.length);
      }
      tellRestored(source, restored);
      return true;
    },
    hear: (source, of, changes) => {
      const demands = of === "cluster" || of === "virtualHost" ? onDemandOf(of) : undefined;
      if (!demands) return () => undefined;
      // Of what was given up nobody hears whether it is still there: a removal says nothing of it.
      const asked = changes.filter(
        ({ name, aliases = [] }) => [name, ...aliases].some((one) => demands.has(source, one)) || isLearned(of, name),
      );
      const held = new Set(asked.filter(({ name }) => isHeld(entryKey({ kind: of, name }))).map(({ name }) => name));
      return (refused) => {
        const not = new Set(refused.map(({ name }) => name));
        for (const { name, json } of asked) {
          if (json === undefined) {
            counters.l3.misses.add(1);
            const mark = disk?.find(of, name);
            if (mark) writer?.forget(entryKey(mark));
          } else if (not.has(name)) counters.l3.corrupted.add(1);
          else if (held.has(name)) counters.l3.refreshed.add(1);
        }
      };
    },
    fallBack: (source) => {
      counters.l3.errors.add(1);
      for (const of of demandedKinds) onDemandOf(of)?.fallBack(source);
    },
    view: () => ({
      memory: demandedKinds.flatMap((kind) => memory[kind].entries().map((entry) => ({ ...entry, kind }))),
      memoryBytes: memory.cluster.usage().bytes + memory.virtualHost.usage().bytes,
      disk: disk?.usage(),
      diskEntries: () => [...(disk?.marks() ?? [])].map(([, mark]) => mark),
      counters,
    }),
    [Symbol.dispose]: () => {
      writer?.flush();
      writer?.[Symbol.dispose]();
      disk?.release();
      for (const kind of demandedKinds) memory[kind][Symbol.dispose]();
    },
  };
};

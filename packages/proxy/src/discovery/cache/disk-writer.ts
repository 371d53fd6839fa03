/**
 * Brings the cache's files up to what is in force: looks for what differs shortly after something changed, writes a
 * slice at a time, and takes out what the control plane gives no more. An error of the disk is told once; what is
 * there stays, and writing is tried again.
 */
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { SubscribedKind } from "@weft/xds/resource";
import type { LevelCounters } from "./cache-stats.ts";
import type { DiskLevel, KeptEntry } from "./disk-level.ts";
import { entryKey } from "./entry-record.ts";
import {
  filesReadAtOnce,
  namesToldMax,
  sliceShareMax,
  writeRetryMs,
  writeSliceBytes,
  writeSoonMs,
  writingShare,
} from "./limits.ts";

/** A resource in force. */
export interface HeldEntry {
  readonly kind: SubscribedKind;
  readonly name: string;
  readonly source: string;
  readonly version: string;
  readonly json: object;
  readonly demanded: boolean;
  readonly aliases: readonly string[];
  /** Asked for when it is written. */
  readonly needs: () => readonly string[];
}

export interface DiskWriterOptions {
  readonly disk: DiskLevel;
  readonly held: () => Iterable<HeldEntry>;
  /** Says now of what is on disk that nobody gives it any more and nobody wants it: it goes, unless it was asked for. */
  readonly findGone: () => (kind: SubscribedKind, name: string) => boolean;
  /** All that is to come has come: what is missing is not on its way. */
  readonly settled: () => boolean;
  /** After all of what is in force was written. */
  readonly written: () => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly counters: LevelCounters<"l2">;
}

export interface DiskWriter extends Disposable {
  /** Something may have changed. */
  changed(): void;
  /** That entry is looked at anew, though nothing of it has changed. */
  touch(key: string): void;
  /** There is no such thing any more. */
  forget(key: string): void;
  /** Writes all there is now. */
  flush(): void;
}

export const createDiskWriter = (options: DiskWriterOptions): DiskWriter => {
  const { disk, clock, log, counters } = options;
  /** What is on disk already, of what is in force. */
  const saved = new Map<string, object>();
  const gone = new Set<string>();
  const noRoom = new Set<string>();
  let timer: Disposable | undefined;
  let problem = "";
  let nextMs = 0;
  let epoch = 0;

  /** True when nothing is left to write. */
  const writeSlice = (bytesMax: number): boolean => {
    if (epoch !== disk.epoch()) saved.clear();
    epoch = disk.epoch();
    const batch: KeptEntry[] = [];
    const jsons = new Map<string, object>();
    let bytes = 0;
    let all = true;
    for (const entry of options.held()) {
      const key = entryKey(entry);
      gone.delete(key);
      if (saved.get(key) === entry.json) continue;
      if (bytes >= bytesMax) {
        all = false;
        break;
      }
      const { kind, name, source, version, demanded, aliases } = entry;
      const body = Buffer.from(JSON.stringify(entry.json));
      const needs = demanded ? entry.needs() : [];
      batch.push({ kind, name, source, version, demanded, aliases, needs, atMs: clock.wallMs(), body });
      jsons.set(key, entry.json);
      bytes += body.length;
    }
    const refused = disk.keep(batch);
    for (const [key, json] of jsons) {
      saved.set(key, json);
      noRoom.delete(key);
    }
    tellRefused(refused);
    return all;
  };
  const tellRefused = (refused: readonly string[]): void => {
    if (refused.length === 0) return;
    counters.overflow.add(refused.length);
    const { bytesMax } = disk.usage();
    if (noRoom.size === 0)
      log.warn("the discovery cache is full: what is not kept would be missing after a restart without control plane", {
        ...{ code: "WF3321", entries: refused.length, bytesMax, some: refused.slice(0, namesToldMax).join(", ") },
      });
    for (const key of refused) noRoom.add(key);
  };

  const removeGone = (): void => {
    if (gone.size > 0) disk.remove([...gone], clock.wallMs());
    gone.clear();
    if (!options.settled()) return;
    const held = new Set<string>();
    for (const entry of options.held()) held.add(entryKey(entry));
    const pinned = new Set<string>();
    for (const [, { demanded, needs }] of disk.marks()) if (demanded) for (const key of needs) pinned.add(key);
    const isGone = options.findGone();
    const old: string[] = [];
    for (const [key, { kind, name, demanded }] of disk.marks())
      if (!demanded && !held.has(key) && !pinned.has(key) && isGone(kind, name)) old.push(key);
    if (old.length > 0) disk.remove(old, clock.wallMs());
    for (const key of saved.keys()) if (!held.has(key)) saved.delete(key);
  };

  const attempt = (bytesMax: number, filesMax?: number): "done" | "more" | "failed" => {
    try {
      if (!disk.load(filesMax)) return "more";
      if (!disk.owns()) return "done";
      const isSliced = bytesMax !== Number.POSITIVE_INFINITY;
      const slice = isSliced ? Math.min(bytesMax, disk.usage().bytesMax * sliceShareMax) : bytesMax;
      if (isSliced && !disk.prepare(4 * slice)) return "more";
      if (!writeSlice(slice)) return "more";
      removeGone();
      if (isSliced && disk.tidy()) return "more";
      options.written();
      if (problem !== "") log.info("last good resources are written again", { code: "WF3304" });
      problem = "";
      return "done";
    } catch (error) {
      counters.errors.add(1);
      const text = String(error);
      if (problem !== text) log.error("last good resources cannot be written", { code: "WF3304", error: text });
      problem = text;
      return "failed";
    }
  };

  const run = (): void => {
    timer = undefined;
    const startedMs = clock.nowMs();
    const outcome = attempt(writeSliceBytes, filesReadAtOnce);
    const endMs = clock.nowMs();
    nextMs = endMs + Math.max(0, (endMs - startedMs) / writingShare - writeSoonMs);
    if (outcome === "more") timer = options.setTimer(run, Math.max(1, nextMs - endMs));
    if (outcome === "failed") timer = options.setTimer(run, writeRetryMs);
  };
  const changed = (): void => {
    timer ??= options.setTimer(run, Math.max(writeSoonMs, nextMs - clock.nowMs()));
  };

  return {
    changed,
    touch: (key) => {
      saved.delete(key);
      changed();
    },
    forget: (key) => {
      gone.add(key);
      changed();
    },
    flush: () => void attempt(Number.POSITIVE_INFINITY),
    [Symbol.dispose]: () => timer?.[Symbol.dispose](),
  };
};

/** Writes back what a shared store lacks that has gone back, each record only where nobody else was first. */
import type { Logger, SetTimer } from "@weft/core/world";
import { formatMark, repairedKey } from "./gone-back.ts";
import { replicaGroup } from "./replica.ts";
import type { Repair, SharedList, SharedMirror, SharedRecord } from "./shared-mirror.ts";
import { asSeen, type GoneBackCounts, recordsPerWriteMax, type SharedStore } from "./shared-store.ts";
import { takeOutReturned } from "./take-out.ts";

export interface WriteBackOptions {
  readonly mirror: Pick<SharedMirror, "get" | "repair">;
  readonly write: SharedStore["write"];
  /** Tells this replica's mark from every other. */
  readonly markId: () => string;
  /** Waits after the store refused for this reason; false: it is no longer this one's to go on. */
  readonly again: (error: unknown) => Promise<boolean>;
  /** Looked at before each write. */
  readonly isOver: () => boolean;
}

export interface WrittenBack {
  readonly written: number;
  /** Records that others had written anew or taken away; what is in the store counts. */
  readonly overtaken: number;
  /** Records that are still to be written, by the next connection. */
  readonly left: number;
}

/** Of one write: etcd takes requests of 1.5 MiB. */
const writeBytesMax = 512 * 1024;
/** So often a write meets others' and nothing is known to have changed, before it waits. */
const vainMax = 12;

const firstPart = (lacking: Repair["lacking"], recordsMax: number): readonly SharedRecord[] => {
  const part: SharedRecord[] = [];
  let bytes = 0;
  for (const { kept } of lacking.values()) {
    bytes += kept.key.length + kept.value.length;
    if (part.length > 0 && (bytes > writeBytesMax || part.length >= recordsMax)) break;
    part.push(kept);
  }
  return part;
};

/** Resolves when the store lacks nothing more and says so, or it is over. Never rejects. */
export const writeBack = async (options: WriteBackOptions): Promise<WrittenBack> => {
  const { mirror, write, isOver } = options;
  // The mark goes with the last.
  const most = recordsPerWriteMax - 1;
  const wanted = mirror.repair()?.lacking.size ?? 0;
  let [size, written, vain] = [most, 0, 0];
  for (;;) {
    const repair = mirror.repair();
    const left = repair?.lacking.size ?? 0;
    if (!repair || isOver()) return { written, overtaken: Math.max(0, wanted - written - left), left };
    const part = firstPart(repair.lacking, size);
    const isLast = part.length === left;
    const mark = formatMark({ knownTo: repair.knownTo, from: repair.revision, id: options.markId() });
    const seen = part.map(({ key, revision }) => ({ key, revision }));
    const puts = part.map(({ key, value }) => ({ key, value, isSame: true }));
    try {
      const outcome = await write({
        seen: isLast ? [...seen, asSeen(mirror, repairedKey)] : seen,
        puts: isLast ? [...puts, { key: repairedKey, value: mark }] : puts,
      });
      const now = mirror.repair();
      vain = now && now.lacking.size === left ? vain + 1 : 0;
      if (outcome.kind === "written") {
        size = most;
        if (vain === 0) written += part.length;
      } else {
        // Others were first with some of these: what they wrote is taken, and the rest goes in smaller parts.
        size = Math.max(1, Math.floor(size / 2));
      }
      if (vain > vainMax) throw new Error("other replicas change the same records without end");
    } catch (error) {
      [size, vain] = [Math.max(1, Math.floor(size / 2)), 0];
      if (!(await options.again(error))) {
        const rest = mirror.repair()?.lacking.size ?? 0;
        return { written, overtaken: Math.max(0, wanted - written - rest), left: rest };
      }
    }
  }
};

/** So long after the store refused it is asked again, as long as its connection lasts. */
const retryMs = 2_000;

export interface StoreMenderOptions extends Pick<WriteBackOptions, "write" | "markId"> {
  readonly mirror: SharedMirror;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export interface StoreMender {
  /** Takes the list into the mirror. */
  take(list: SharedList): void;
  /** Writes back what the store lacks, then takes out what came back to it, until it is over. Never rejects. */
  mend(isOver: () => boolean): Promise<void>;
  counts(): GoneBackCounts;
}

/** Mends one store, over all its connections. */
export const createStoreMender = ({ mirror, write, markId, setTimer, log }: StoreMenderOptions): StoreMender => {
  let [times, written, overtaken, takenOut] = [0, 0, 0, 0];
  /** Who was there when the store was last known; any of them may know more. */
  let peers: ReadonlySet<string> = new Set();
  /** How far the store was known that lacks nothing more. */
  let mended: number | undefined;
  const waitAgain = async (error: unknown, isOver: () => boolean): Promise<boolean> => {
    if (isOver()) return false;
    log.error("the shared store has gone back, and what it lacks cannot be written to it yet", {
      ...{ code: "WF2271", error: error instanceof Error ? error.message : String(error) },
      lacking: mirror.repair()?.lacking.size ?? 0,
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    using _timer = setTimer(resolve, retryMs);
    await promise;
    return true;
  };
  return {
    take(list) {
      const isOpen = mirror.repair() !== undefined;
      const known = mirror.group(replicaGroup).keys().toArray();
      mirror.takeList(list);
      if (!mirror.repair()) return;
      if (!isOpen) times++;
      peers = new Set(isOpen || mended !== undefined ? [...peers, ...known] : known);
      mended = undefined;
    },
    async mend(isOver) {
      const repair = mirror.repair();
      if (repair) {
        const { knownTo, revision, lacking } = repair;
        const found = { lacking: lacking.size, returned: mirror.returned.all().size, knownTo, revision };
        log.warn(
          "the shared store has gone back to an older state; what is newer here stays and is being written back",
          {
            ...{ code: "WF2270", ...found },
          },
        );
        const done = await writeBack({ mirror, write, markId, isOver, again: (error) => waitAgain(error, isOver) });
        written += done.written;
        overtaken += done.overtaken;
        const isMended = mirror.repair() === undefined;
        if (isMended) mended = knownTo;
        log.warn(`the shared store ${isMended ? "has again what it lacked" : "still lacks what is newer here"}`, {
          ...{ code: "WF2270", ...done, knownTo, revision },
        });
      }
      if (isOver()) return;
      if (mended === undefined) {
        mirror.returned.accept();
        return;
      }
      const options = { mirror, write, knownTo: mended, peers, markId, setTimer, log, isOver };
      const { taken, done } = await takeOutReturned(options);
      takenOut += taken;
      if (done) mended = undefined;
    },
    counts: () => ({ times, written, overtaken, left: mirror.repair()?.lacking.size ?? 0, takenOut }),
  };
};

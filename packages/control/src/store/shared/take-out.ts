/**
 * Takes out again what came back with an older shared store though it was taken out before, each record only where nobody
 * has touched it since, and only by one that knows as much as anybody did: rather late, or not at all, than wrongly.
 */
import type { Logger, SetTimer } from "@weft/core/world";
import { markIn, repairedKey, sweptKey } from "./gone-back.ts";
import { replicaGroup } from "./replica.ts";
import type { SharedMirror } from "./shared-mirror.ts";
import { asSeen, recordsPerWriteMax, type SharedStore } from "./shared-store.ts";

export interface TakeOutOptions {
  readonly mirror: Pick<SharedMirror, "get" | "group" | "returned">;
  readonly write: SharedStore["write"];
  /** How far this replica knew the store before it went back. */
  readonly knownTo: number;
  /** Keys of the replicas that were there then: any of them may know more. */
  readonly peers: ReadonlySet<string>;
  /** Tells this replica's write from every other. */
  readonly markId: () => string;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  /** Looked at before each write. */
  readonly isOver: () => boolean;
}

/** Before anything is taken out, and between attempts: others connect, and write back what they know. */
export const settleMs = 30_000;
/** Then what came back is left where it is. */
export const attemptsMax = 20;
/** The mark is seen too, and a record written. */
const keysMax = recordsPerWriteMax - 2;
/** Keys that a line of the log names. */
const namedMax = 10;

/** Writes until nothing is left to be taken out, or others are in the way. Rejects where the store refuses. */
const writeAll = async ({ mirror, write, knownTo, markId, isOver }: TakeOutOptions): Promise<number> => {
  let [taken, size, vain] = [0, keysMax, 0];
  while (vain < attemptsMax && !isOver() && markIn(mirror.get(repairedKey))?.knownTo === knownTo) {
    const part = [...mirror.returned.all().values()].slice(0, size);
    const keys = part.map(({ key }) => key);
    if (keys.length === 0) break;
    const outcome = await write({
      // Somebody who knows more says so in the mark.
      seen: [...part.map(({ key, revision }) => ({ key, revision })), asSeen(mirror, repairedKey)],
      deletes: keys,
      puts: [{ key: sweptKey, value: JSON.stringify({ knownTo, id: markId() }) }],
    });
    if (outcome.kind === "written") {
      [taken, size] = [taken + keys.length, keysMax];
      if (keys.every((key) => mirror.returned.all().has(key))) vain++;
    } else {
      vain++;
      size = Math.max(1, Math.floor(size / 2));
    }
  }
  return taken;
};

/**
 * Resolves with how many were taken out, and whether that was all there is to do; else it is for the next connection.
 * Never rejects.
 */
export const takeOutReturned = async (options: TakeOutOptions): Promise<{ taken: number; done: boolean }> => {
  const { mirror, knownTo, peers, setTimer, log, isOver } = options;
  const { returned } = mirror;
  const named = () => [...returned.all().keys()].slice(0, namedMax).join(" ");
  let taken = 0;
  let reason = "";
  for (let attempt = 0; attempt < attemptsMax && returned.all().size > 0; attempt++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    using _timer = setTimer(resolve, settleMs);
    await promise;
    if (isOver()) return { taken, done: false };
    if (markIn(mirror.get(repairedKey))?.knownTo !== knownTo) {
      // It is for who knows more.
      returned.accept();
      break;
    }
    const missing = [...peers].filter((key) => !mirror.group(replicaGroup).has(key));
    reason = missing.length === 0 ? "" : `replicas that may know more are not back: ${missing.join(" ")}`;
    if (missing.length > 0 || returned.all().size === 0) continue;
    const keys = named();
    try {
      const now = await writeAll(options);
      taken += now;
      const fields = { code: "WF2285", records: now, keys };
      if (now > 0) log.warn("what had come back with an older state of the shared store is taken out again", fields);
    } catch (error) {
      reason = String(error);
    }
    if (isOver()) return { taken, done: false };
  }
  const records = returned.all().size;
  if (records > 0)
    log.warn("records that were taken out before are back in the shared store, and stay", {
      ...{ code: "WF2286", records, keys: named(), reason },
    });
  returned.accept();
  return { taken, done: true };
};

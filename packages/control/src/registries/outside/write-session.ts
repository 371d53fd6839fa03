/** What a driver that can write to its registry is: it opens sessions, and the framework says what is to stand there. */
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { SourceInstance } from "./source-events.ts";

/**
 * The label that says which mesh wrote an instance into a registry. A driver writes it as it writes every label, so that
 * reading gives it back: a mesh does not read what it wrote itself.
 */
export const writtenByLabel = "weft-written-by";

/** How long what was written stands when nobody renews it any more. */
export const writtenTtlMs = 30_000;

/**
 * One port of an instance of the mesh as it is to stand in a registry, with `writtenByLabel` among its labels. Its `key`
 * is the mesh's own, `NAMESPACE/SERVICE/ID/PORT`, and no registry's: a driver makes its registry's name of it.
 */
export type WrittenInstance = SourceInstance;

/** One connection, session or lease. What was written through it goes by itself when it is not renewed. */
export interface WriteSession extends Disposable {
  /** Puts a record there, or replaces it. Rejects with `WriteRefusal` where only this one cannot stand there. */
  put(instance: WrittenInstance): Promise<void>;
  /** Takes a record out, as it was put last; one that is not there is none to fail for. */
  remove(instance: WrittenInstance): Promise<void>;
  /**
   * Prolongs what stands there: called every third of `writtenTtlMs` with all that was put. Gives the keys of those that
   * are not there any more: they are put again.
   */
  renew(instances: ReadonlyMap<string, WrittenInstance>): Promise<readonly string[]>;
}

/**
 * Connects; rejects when that fails. Every other rejection than a `WriteRefusal`, here and of a session's calls, ends the
 * session, as `ended` does: another is opened after a while, and everything is put again.
 */
export type OpenWriter = (tools: WriteTools) => Promise<WriteSession>;

export interface WriteTools {
  /** The session is over, with the reason: for what a driver finds out between calls. */
  readonly ended: (reason: string) => void;
  /** Which mesh writes, as in `writtenByLabel`. */
  readonly mesh: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

/** The registry takes this record as little now as later; the session goes on with the others. */
export class WriteRefusal extends Error {}

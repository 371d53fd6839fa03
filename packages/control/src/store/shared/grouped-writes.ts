/**
 * Changes of a shared store that come at once, as one transaction: what the store's disk and the others are told by costs
 * them once. A change that comes alone is written at once; while some are on their way, the next wait to go together.
 */
import type { SharedWrite, WriteOutcome } from "./shared-store.ts";

export interface GroupedWritesOptions {
  /** Writes all of them at once, each by its own comparisons: no key is in two of them. */
  readonly send: (changes: readonly SharedWrite[]) => Promise<readonly WriteOutcome[]>;
  /** Whether one change of several may be why none was done; else the store is out of reach for all. */
  readonly isOfOne: (error: unknown) => boolean;
}

/** Transactions on their way at a time. */
const inFlightMax = 2;
/** Of one transaction: etcd takes 128 operations, and a megabyte and a half. */
const changesMax = 60;
const textMax = 256 * 1024;
/** A change that touches more records, or is larger, is written alone. */
const keysMax = 8;
const largeMax = 32 * 1024;

interface Waiting {
  readonly change: SharedWrite;
  readonly keys: readonly string[];
  readonly size: number;
  readonly resolve: (outcome: WriteOutcome) => void;
  readonly reject: (error: unknown) => void;
}

export const createGroupedWrites = ({ send, isOfOne }: GroupedWritesOptions) => {
  let waiting: Waiting[] = [];
  let inFlight = 0;

  const alone = async (change: SharedWrite): Promise<WriteOutcome> => (await send([change]))[0] as WriteOutcome;

  /** As many as go together; whoever touches a record of one that stays behind stays behind it. */
  const next = (): readonly Waiting[] => {
    const touched = new Set<string>();
    const group: Waiting[] = [];
    const rest: Waiting[] = [];
    let size = 0;
    for (const one of waiting) {
      const fits = group.length < changesMax && size + one.size <= textMax && !one.keys.some((key) => touched.has(key));
      for (const key of one.keys) touched.add(key);
      if (fits) size += one.size;
      (fits ? group : rest).push(one);
    }
    waiting = rest;
    return group;
  };

  const write = async (group: readonly Waiting[]): Promise<void> => {
    try {
      const outcomes = await send(group.map(({ change }) => change));
      for (const [at, { resolve }] of group.entries()) resolve(outcomes[at] as WriteOutcome);
    } catch (error) {
      if (group.length > 1 && isOfOne(error)) {
        for (const { change, resolve, reject } of group) alone(change).then(resolve, reject);
        return;
      }
      // Whoever waits for the next would only wait as long for the same.
      const refused = isOfOne(error) ? group : [...group, ...waiting.splice(0)];
      for (const { reject } of refused) reject(error);
    }
  };
  const pump = (): void => {
    while (inFlight < inFlightMax && waiting.length > 0) {
      inFlight++;
      void write(next()).then(() => {
        inFlight--;
        pump();
      });
    }
  };

  return (change: SharedWrite): Promise<WriteOutcome> => {
    const keys = keysOf(change);
    const size = sizeOf(change);
    if (keys.length > keysMax || size > largeMax) return alone(change);
    return new Promise((resolve, reject) => {
      waiting.push({ change, keys, size, resolve, reject });
      pump();
    });
  };
};

const keysOf = ({ seen, puts = [], deletes = [] }: SharedWrite): readonly string[] => [
  ...new Set([...seen.map(({ key }) => key), ...puts.map(({ key }) => key), ...deletes]),
];

const sizeOf = ({ puts = [] }: SharedWrite): number =>
  puts.reduce((sum, { key, value }) => sum + key.length + value.length, 0);

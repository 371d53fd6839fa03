/**
 * A stamp in what is written tells each write from every other: the same key with the same stamp is what was written
 * once, however often the store went back since, and what is written anew has another. Only records whose end is told
 * have one: whatever comes back from an older store can be known as ended by it. Pure.
 */

/** Records that stay until somebody takes them out. */
const stampedGroups: ReadonlySet<string> = new Set(["config", "instances"]);
const form = /,"stamp":"([-.a-z0-9]{1,80})"\}$/;
/** Ended writes that are remembered, the last ones. */
export const endedMax = 50_000;

/** `undefined` for what was written without one: nothing is known of its end. */
export const stampOf = (value: string): string | undefined => form.exec(value)?.[1];

/** The value as it was before it had a stamp. */
export const unstamped = (value: string): string => value.replace(form, "}");

/** The value with a stamp of its own; as it is where it has one, is none of an object, or its group has no stamps. */
export const stamped = (
  { key, value }: { readonly key: string; readonly value: string },
  stamp: () => string,
): string =>
  stampedGroups.has(key.slice(0, key.indexOf("/"))) && /[^{]\}$/.test(value) && stampOf(value) === undefined
    ? `${value.slice(0, -1)},"stamp":"${stamp()}"}`
    : value;

/** Stamps for one process, each once: `id` tells the process from every other, at any time. */
export const createStamps = (id: string): (() => string) => {
  const own = id
    .toLowerCase()
    .replace(/[^-.a-z0-9]/g, "-")
    .slice(0, 60);
  let count = 0;
  return () => `${own}.${(count++).toString(36)}`;
};

/** What was written, and the store's revision then: what is written back has another. */
interface Written {
  readonly value: string;
  readonly revision: number;
}

export interface EndedStamps {
  /** This write was replaced, or taken out. */
  add(written: Written): void;
  has(written: Written): boolean;
  /** It is there again, and that counts. */
  delete(written: Written): void;
}

/** Remembers the last `max` of them. */
export const createEndedStamps = (max = endedMax): EndedStamps => {
  const ended = new Map<string, number>();
  return {
    add({ value, revision }) {
      const stamp = stampOf(value);
      if (stamp === undefined) return;
      ended.set(stamp, revision);
      for (const oldest of ended.keys()) {
        if (ended.size <= max) break;
        ended.delete(oldest);
      }
    },
    has({ value, revision }) {
      const stamp = stampOf(value);
      return stamp !== undefined && ended.get(stamp) === revision;
    },
    delete({ value }) {
      const stamp = stampOf(value);
      if (stamp !== undefined) ended.delete(stamp);
    },
  };
};

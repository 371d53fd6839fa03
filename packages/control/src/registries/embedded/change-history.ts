/**
 * The last changes, for those who come back with the version up to which they were told. Several changes may have one
 * version, as what was written together has, and after a store has gone back versions are lower for a while: so each
 * change is told with the version up to which everything is told by then, and who was cut off between changes that belong
 * together is told all of them again. Pure.
 */

interface Versioned {
  readonly resourceVersion: number;
}

export interface ChangeHistory<T extends Versioned> {
  /** Everything up to here was told. */
  version(): number;
  startAt(version: number): void;
  /** Keeps changes in their order, and gives them as they are to be told. */
  add(changes: readonly T[]): readonly T[];
  /** What came after it; `undefined` where that is not kept, or it is of no history of this one's. */
  since(version: number): readonly T[] | undefined;
  /** The least that may be asked for. */
  from(): number;
}

/** Each as it is to be told: its version is the one up to which all is told with it, `before` until there is one. */
export const asTold = <T extends Versioned>(changes: readonly T[], before: number): readonly T[] => {
  const leastAfter = new Float64Array(changes.length).fill(Number.POSITIVE_INFINITY);
  for (let i = changes.length - 1; i > 0; i--)
    leastAfter[i - 1] = Math.min(leastAfter[i] as number, (changes[i] as T).resourceVersion);
  let [told, most] = [before, before];
  return changes.map((change, i) => {
    most = Math.max(most, change.resourceVersion);
    if (most < (leastAfter[i] as number)) told = most;
    return change.resourceVersion === told ? change : { ...change, resourceVersion: told };
  });
};

/** Keeps `max` of them at least. */
export const createChangeHistory = <T extends Versioned>(max: number): ChangeHistory<T> => {
  let kept: T[] = [];
  let [version, from] = [0, 0];
  /** Everything is told with it that has its version. */
  const isWhole = (at: number): boolean =>
    (kept[at]?.resourceVersion ?? 0) > (at === 0 ? from : (kept[at - 1] as T).resourceVersion);
  const trim = (): void => {
    let end = kept.length - max;
    while (end < kept.length && !isWhole(end - 1)) end++;
    from = isWhole(end - 1) ? (kept[end - 1] as T).resourceVersion : version + 1;
    kept = kept.slice(end);
  };
  return {
    version: () => version,
    from: () => from,
    startAt(now) {
      [version, from] = [now, now];
    },
    add(changes) {
      const told = asTold(changes, version);
      kept.push(...told);
      version = told.at(-1)?.resourceVersion ?? version;
      if (kept.length > max * 2) trim();
      return told;
    },
    since(asked) {
      if (asked < from || asked > version) return undefined;
      for (let at = kept.length - 1; at >= 0; at--)
        if (isWhole(at) && (kept[at] as T).resourceVersion <= asked) return kept.slice(at + 1);
      return [...kept];
    },
  };
};

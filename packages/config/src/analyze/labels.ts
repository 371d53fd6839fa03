/** Labels, and finding by them what has them among many: looked through is only what shares the rarest of those asked for. */

export type Labels = Readonly<Record<string, string>>;

/** Every label asked for is there with that value. */
export const labelsMatch = (wanted: Labels | undefined, labels: Labels): boolean =>
  Object.entries(wanted ?? {}).every(([name, value]) => labels[name] === value);

export interface LabelIndex<T> {
  /** In the order given, of one namespace. With no labels asked for, everything there that has a set of them. */
  matching(namespace: string, wanted: Labels): readonly T[];
  /** Whether anything has these labels, in one namespace or (`undefined`) in any. */
  hasMatching(namespace: string | undefined, wanted: Labels): boolean;
}

export interface Labelled {
  readonly namespace: string;
  /** Found where one of these has all labels that are asked for. */
  readonly sets: readonly Labels[];
}

/** Costs nothing before it is asked, and then what is in that namespace. */
export const labelIndex = <T>(items: readonly T[], describe: (item: T) => Labelled): LabelIndex<T> => {
  let byNamespace: Map<string, readonly T[]> | undefined;
  const byPair = new Map<string, ReadonlyMap<string, readonly T[]>>();

  const namespaces = (): ReadonlyMap<string, readonly T[]> => {
    byNamespace ??= Map.groupBy(items, (item) => describe(item).namespace);
    return byNamespace;
  };
  const pairsIn = (namespace: string): ReadonlyMap<string, readonly T[]> => {
    const known = byPair.get(namespace);
    if (known) return known;
    const made = new Map<string, T[]>();
    for (const item of namespaces().get(namespace) ?? []) {
      for (const pair of new Set(describe(item).sets.flatMap((labels) => Object.entries(labels).map(pairOf)))) {
        const some = made.get(pair);
        if (some) some.push(item);
        else made.set(pair, [item]);
      }
    }
    byPair.set(namespace, made);
    return made;
  };
  const likely = (namespace: string, wanted: Labels): readonly T[] => {
    let fewest = namespaces().get(namespace) ?? [];
    for (const entry of Object.entries(wanted)) {
      const some = pairsIn(namespace).get(pairOf(entry)) ?? [];
      if (some.length < fewest.length) fewest = some;
    }
    return fewest;
  };
  const matches = (item: T, wanted: Labels): boolean =>
    describe(item).sets.some((labels) => labelsMatch(wanted, labels));
  return {
    matching: (namespace, wanted) => likely(namespace, wanted).filter((item) => matches(item, wanted)),
    hasMatching: (namespace, wanted) => {
      const where = namespace === undefined ? [...namespaces().keys()] : [namespace];
      return where.some((one) => likely(one, wanted).some((item) => matches(item, wanted)));
    },
  };
};

/** No label's name has a line break. */
const pairOf = ([name, value]: readonly [string, string]): string => `${name}\n${value}`;

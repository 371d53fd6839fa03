/** Who is subscribed to which endpoints, so that a change of some costs as much as there are subscribers to them. */
export interface Interest<S> {
  add(subscriber: S, name: string): void;
  remove(subscriber: S, name: string): void;
  /** Every name there is, and those to come. */
  addAll(subscriber: S): void;
  removeAll(subscriber: S): void;
  /** Each once. */
  of(names: Iterable<string>): ReadonlySet<S>;
  /** Names with subscribers. */
  readonly size: number;
}

export const createInterest = <S>(): Interest<S> => {
  const byName = new Map<string, Set<S>>();
  const all = new Set<S>();
  return {
    add(subscriber, name) {
      const known = byName.get(name);
      if (known) known.add(subscriber);
      else byName.set(name, new Set([subscriber]));
    },
    remove(subscriber, name) {
      const known = byName.get(name);
      if (known?.delete(subscriber) && known.size === 0) byName.delete(name);
    },
    addAll: (subscriber) => void all.add(subscriber),
    removeAll: (subscriber) => void all.delete(subscriber),
    of(names) {
      const found = new Set(all);
      for (const name of names) for (const subscriber of byName.get(name) ?? []) found.add(subscriber);
      return found;
    },
    get size() {
      return byName.size;
    },
  };
};

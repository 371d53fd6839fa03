/** Who is subscribed to which endpoints, so that a change of some costs as much as there are subscribers to them. */
export interface Interest<S> {
  add(subscriber: S, name: string): void;
  remove(subscriber: S, name: string): void;
  /** The same set, which nobody writes to, costs its names once for all who join with it. */
  join(subscriber: S, names: ReadonlySet<string>): void;
  leave(subscriber: S, names: ReadonlySet<string>): void;
  /** Every name there is, and those to come. */
  addAll(subscriber: S): void;
  removeAll(subscriber: S): void;
  /** Each once. */
  of(names: Iterable<string>): ReadonlySet<S>;
  /** Names with subscribers. */
  readonly size: number;
}

interface Wanted<S> {
  readonly alone: Set<S>;
  readonly groups: Set<ReadonlySet<S>>;
}

export const createInterest = <S>(): Interest<S> => {
  const byName = new Map<string, Wanted<S>>();
  const groups = new Map<ReadonlySet<string>, Set<S>>();
  const all = new Set<S>();
  const wantedAt = (name: string): Wanted<S> => {
    const known = byName.get(name) ?? { alone: new Set(), groups: new Set() };
    byName.set(name, known);
    return known;
  };
  const tidy = (name: string, { alone, groups }: Wanted<S>): void => {
    if (alone.size === 0 && groups.size === 0) byName.delete(name);
  };
  return {
    add: (subscriber, name) => void wantedAt(name).alone.add(subscriber),
    remove(subscriber, name) {
      const known = byName.get(name);
      if (known?.alone.delete(subscriber)) tidy(name, known);
    },
    join(subscriber, names) {
      const known = groups.get(names);
      const members = known ?? new Set<S>();
      members.add(subscriber);
      if (known) return;
      groups.set(names, members);
      for (const name of names) wantedAt(name).groups.add(members);
    },
    leave(subscriber, names) {
      const members = groups.get(names);
      if (!members?.delete(subscriber) || members.size > 0) return;
      groups.delete(names);
      for (const name of names) {
        const known = byName.get(name);
        if (known?.groups.delete(members)) tidy(name, known);
      }
    },
    addAll: (subscriber) => void all.add(subscriber),
    removeAll: (subscriber) => void all.delete(subscriber),
    of(names) {
      const found = new Set(all);
      for (const name of names) {
        const known = byName.get(name);
        if (!known) continue;
        for (const subscriber of known.alone) found.add(subscriber);
        for (const members of known.groups) for (const subscriber of members) found.add(subscriber);
      }
      return found;
    },
    get size() {
      return byName.size;
    },
  };
};

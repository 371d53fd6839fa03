/**
 * Sets of strings, by a string. Most sets of an index have one member, and such a one costs nothing beside it; others give
 * their members in order without sorting them at each question.
 */
export class KeySets {
  readonly #sets = new Map<string, string | string[] | Crowd>();

  /** Keys that have members. */
  keys(): IterableIterator<string> {
    return this.#sets.keys();
  }

  /** In order. Holds until the next `add` or `delete`. */
  members(key: string): readonly string[] {
    const found = this.#sets.get(key);
    if (found === undefined) return none;
    if (typeof found === "string") return [found];
    if (Array.isArray(found)) return found;
    found.sorted ??= [...found.members].sort();
    return found.sorted;
  }

  /** The least member. */
  first(key: string): string | undefined {
    const found = this.#sets.get(key);
    return typeof found === "string" ? found : this.members(key)[0];
  }

  /** False when it was a member already. */
  add(key: string, member: string): boolean {
    const found = this.#sets.get(key);
    if (found === undefined) {
      this.#sets.set(key, member);
      return true;
    }
    if (typeof found === "string") {
      if (found === member) return false;
      this.#sets.set(key, found < member ? [found, member] : [member, found]);
      return true;
    }
    if (Array.isArray(found)) return this.#addToFew(key, found, member);
    if (found.members.has(member)) return false;
    found.members.add(member);
    found.sorted = undefined;
    return true;
  }

  delete(key: string, member: string): void {
    const found = this.#sets.get(key);
    if (found === undefined) return;
    if (typeof found === "string") {
      if (found === member) this.#sets.delete(key);
    } else if (Array.isArray(found)) {
      const at = placeOf(found, member);
      if (found[at] !== member) return;
      found.splice(at, 1);
      if (found.length === 1) this.#sets.set(key, found[0] as string);
    } else if (found.members.delete(member)) {
      found.sorted = undefined;
      if (found.members.size <= fewMax / 2) this.#sets.set(key, [...found.members].sort());
    }
  }

  #addToFew(key: string, few: string[], member: string): boolean {
    const at = placeOf(few, member);
    if (few[at] === member) return false;
    few.splice(at, 0, member);
    if (few.length > fewMax) this.#sets.set(key, { members: new Set(few), sorted: few });
    return true;
  }
}

/** Too many to be moved at each change. */
interface Crowd {
  readonly members: Set<string>;
  sorted: readonly string[] | undefined;
}

const fewMax = 64;
const none: readonly string[] = [];

/** Where a member is, or would be. */
const placeOf = (sorted: readonly string[], member: string): number => {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as string) < member) low = middle + 1;
    else high = middle;
  }
  return low;
};

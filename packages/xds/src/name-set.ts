/**
 * A set of names that many streams have the same of: until one changes its own, they share what the same list of names
 * made, so that a crowd that asks for the same things costs one set and not one each.
 */
export class NameSet {
  #shared: ReadonlySet<string> = none;
  #own: Set<string> | undefined;

  get size(): number {
    return (this.#own ?? this.#shared).size;
  }
  has(name: string): boolean {
    return (this.#own ?? this.#shared).has(name);
  }
  [Symbol.iterator](): SetIterator<string> {
    return (this.#own ?? this.#shared).values();
  }

  /** The set that others may have too; `undefined` for one that is its own, or empty. */
  get shared(): ReadonlySet<string> | undefined {
    return this.#own || this.#shared.size === 0 ? undefined : this.#shared;
  }

  add(name: string): void {
    if (!this.has(name)) this.#toOwn().add(name);
  }
  delete(name: string): boolean {
    return this.has(name) && this.#toOwn().delete(name);
  }
  clear(): void {
    this.#own = undefined;
    this.#shared = none;
  }
  /** The same list, which nobody writes to, gives the same set to all that were empty. */
  addAll(names: readonly string[]): void {
    if (this.size === 0 && names.length >= sharedMin) {
      this.#own = undefined;
      this.#shared = setOf(names);
    } else {
      for (const name of names) this.add(name);
    }
  }

  #toOwn(): Set<string> {
    this.#own ??= new Set(this.#shared);
    return this.#own;
  }
}

/** Of fewer names a set each costs less than finding out. */
const sharedMin = 8;
const none: ReadonlySet<string> = new Set();
const known = new WeakMap<readonly string[], ReadonlySet<string>>();

const setOf = (names: readonly string[]): ReadonlySet<string> => {
  const made = known.get(names) ?? new Set(names);
  known.set(names, made);
  return made;
};

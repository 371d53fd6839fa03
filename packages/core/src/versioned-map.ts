/**
 * A map in versions: each is read as an immutable map, and the next one costs only what differs from it. The newest holds
 * the entries; an older one knows what was otherwise in it, and the one that followed. Nothing holds on to older ones, so
 * they go when nobody reads them any more.
 */
export class VersionedMap<V> implements ReadonlyMap<string, V> {
  /** Of the newest version only. */
  #entries: Map<string, V> | undefined;
  /** What followed, and what the names that it changed had here. */
  #next: VersionedMap<V> | undefined;
  #before: ReadonlyMap<string, V> = nothing;
  /** The last answer of `between` from here: many readers move between the same two. */
  #asked: { readonly to: VersionedMap<V>; readonly names: ReadonlySet<string> } | undefined;

  private constructor(entries: Map<string, V>) {
    this.#entries = entries;
  }

  /** The first version, of a map that nobody writes to any more. */
  static first<V>(entries: Map<string, V>): VersionedMap<V> {
    return new VersionedMap(entries);
  }

  /**
   * `map` with other values for some of its names. The first version of a plain map copies it, and so does a second
   * follower of one version. Throws TypeError for a name that is not in it: names never come or go.
   */
  static changed<V>(map: ReadonlyMap<string, V>, values: ReadonlyMap<string, V>): VersionedMap<V> {
    const from = map instanceof VersionedMap && map.#entries ? map : new VersionedMap(new Map(map));
    const entries = from.#entries as Map<string, V>;
    const before = new Map<string, V>();
    for (const [name, value] of values) {
      const known = entries.get(name);
      if (known === undefined && !entries.has(name)) throw new TypeError(`no ${name} in the map`);
      if (known !== value) before.set(name, known as V);
    }
    for (const name of before.keys()) entries.set(name, values.get(name) as V);
    const next = new VersionedMap(entries);
    from.#entries = undefined;
    from.#before = before;
    from.#next = next;
    return next;
  }

  /** Names that may differ between a version and a later one; `undefined` when `to` is none, or too far away. */
  static between<V>(from: ReadonlyMap<string, V>, to: ReadonlyMap<string, V>): ReadonlySet<string> | undefined {
    if (!(from instanceof VersionedMap) || !(to instanceof VersionedMap)) return undefined;
    const asked = from.#asked;
    if (asked?.to === to) return asked.names;
    // Whoever asks again mostly asks for what came after.
    const names = (asked ? asked.to.#passedTo(to, asked.names) : undefined) ?? from.#passedTo(to, none);
    if (names) from.#asked = { to, names };
    return names;
  }

  /** Whether both are versions of one map: then they have the same names. */
  static areVersions<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): boolean {
    return a instanceof VersionedMap && b instanceof VersionedMap && a.#newest() === b.#newest();
  }

  get size(): number {
    return this.#newest().size;
  }
  has(name: string): boolean {
    return this.#newest().has(name);
  }
  get(name: string): V | undefined {
    let at: VersionedMap<V> = this;
    for (;;) {
      if (at.#entries) return at.#entries.get(name);
      if (at.#before.has(name)) return at.#before.get(name);
      at = at.#next as VersionedMap<V>;
    }
  }
  keys(): MapIterator<string> {
    return this.#newest().keys();
  }
  *entries(): MapIterator<[string, V]> {
    for (const name of this.keys()) yield [name, this.get(name) as V];
  }
  *values(): MapIterator<V> {
    for (const name of this.keys()) yield this.get(name) as V;
  }
  forEach(visit: (value: V, name: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [name, value] of this.entries()) visit(value, name, this);
  }
  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }

  #passedTo(to: VersionedMap<V>, before: ReadonlySet<string>): ReadonlySet<string> | undefined {
    const names = new Set(before);
    let at: VersionedMap<V> | undefined = this;
    for (let steps = 0; at !== undefined && steps <= stepsMax; steps++) {
      if (at === to) return names;
      for (const name of at.#before.keys()) names.add(name);
      at = at.#next;
    }
    return undefined;
  }

  #newest(): Map<string, V> {
    let at: VersionedMap<V> = this;
    while (!at.#entries) at = at.#next as VersionedMap<V>;
    return at.#entries;
  }
}

/** Versions passed over when two are compared; for more, comparing the maps whole is cheaper. */
const stepsMax = 4096;
const nothing: ReadonlyMap<string, never> = new Map<string, never>();
const none: ReadonlySet<string> = new Set();

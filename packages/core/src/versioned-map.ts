interface Line<V> {
  readonly mark: object;
  /** Of the newest version. */
  readonly entries: Map<string, V>;
  newest: VersionedMap<V> | undefined;
  /** The names that versions changed, in order, from the one numbered `logFrom` on. */
  readonly log: string[];
  logFrom: number;
}

/**
 * A map in versions: each is read as an immutable map, and the next one costs only what differs from it. The newest holds
 * the entries; an older one knows what was otherwise in it, and the one that followed. Nothing holds on to older ones, so
 * they go when nobody reads them any more.
 */
export class VersionedMap<V> implements ReadonlyMap<string, V> {
  readonly #line: Line<V>;
  /** How many names were changed before. */
  readonly #at: number;
  /** What followed, and what the names that it changed had here. */
  #next: VersionedMap<V> | undefined;
  #before: ReadonlyMap<string, V> = nothing;

  private constructor(line: Line<V>) {
    this.#line = line;
    this.#at = line.logFrom + line.log.length;
    line.newest = this;
  }

  /** The first version, of a map that nobody writes to any more. */
  static first<V>(entries: Map<string, V>): VersionedMap<V> {
    return new VersionedMap({ mark: {}, entries, newest: undefined, log: [], logFrom: 0 });
  }

  /**
   * `map` with other values for some of its names. The first version of a plain map copies it, and so does a second
   * follower of one version. Throws TypeError for a name that is not in it: names never come or go.
   */
  static changed<V>(map: ReadonlyMap<string, V>, values: ReadonlyMap<string, V>): VersionedMap<V> {
    const from = map instanceof VersionedMap && map.#isNewest ? map : VersionedMap.first(new Map(map));
    const line: Line<V> = from.#line;
    const before = new Map<string, V>();
    for (const [name, value] of values) {
      const known = line.entries.get(name);
      if (known === undefined && !line.entries.has(name)) throw new TypeError(`no ${name} in the map`);
      if (known !== value) before.set(name, known as V);
    }
    for (const name of before.keys()) {
      line.entries.set(name, values.get(name) as V);
      line.log.push(name);
    }
    if (line.log.length > 2 * loggedMax) line.logFrom += line.log.splice(0, line.log.length - loggedMax).length;
    const next = new VersionedMap(line);
    from.#before = before;
    from.#next = next;
    return next;
  }

  /** Names that may differ between a version and a later one; `undefined` when `to` is none, or too far away. */
  static between<V>(from: ReadonlyMap<string, V>, to: ReadonlyMap<string, V>): ReadonlySet<string> | undefined {
    const names = new Set<string>();
    return VersionedMap.visitBetween(from, to, (name) => names.add(name)) ? names : undefined;
  }

  /** As `between`, where a set would only be thrown away: a name may come more than once. `false` for its `undefined`. */
  static visitBetween<V>(
    from: ReadonlyMap<string, V>,
    to: ReadonlyMap<string, V>,
    visit: (name: string) => void,
  ): boolean {
    if (!(from instanceof VersionedMap) || !(to instanceof VersionedMap)) return false;
    const { log, logFrom } = from.#line as Line<V>;
    if (from.#line !== to.#line || from.#at > to.#at || from.#at < logFrom) return false;
    for (let at = from.#at - logFrom; at < to.#at - logFrom; at++) visit(log[at] as string);
    return true;
  }

  /** Whether both are versions of one map: then they have the same names. */
  static areVersions<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): boolean {
    return a instanceof VersionedMap && b instanceof VersionedMap && a.#line === b.#line;
  }

  /** What the versions of one map, and no others, have in common: it holds on to none of them. `undefined` of a plain map. */
  static lineOf(map: ReadonlyMap<string, unknown>): object | undefined {
    return map instanceof VersionedMap ? map.#line.mark : undefined;
  }

  get size(): number {
    return this.#line.entries.size;
  }
  has(name: string): boolean {
    return this.#line.entries.has(name);
  }
  get(name: string): V | undefined {
    let at: VersionedMap<V> = this;
    for (;;) {
      if (at.#isNewest) return at.#line.entries.get(name);
      if (at.#before.has(name)) return at.#before.get(name);
      at = at.#next as VersionedMap<V>;
    }
  }
  keys(): MapIterator<string> {
    return this.#line.entries.keys();
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

  get #isNewest(): boolean {
    return this.#line.newest === this;
  }
}

/** Names that are remembered as changed, at least; comparing the maps whole is cheaper than more. */
const loggedMax = 4096;
const nothing: ReadonlyMap<string, never> = new Map<string, never>();

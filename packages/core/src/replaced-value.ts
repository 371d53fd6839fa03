/** A map with another value for one of its names, without copying it: for the thousands that differ in nothing else. */
export class ReplacedValue<V> implements ReadonlyMap<string, V> {
  /** Has the name too, with nothing. */
  readonly #base: ReadonlyMap<string, V | undefined>;
  readonly #name: string;
  readonly #value: V;

  private constructor(base: ReadonlyMap<string, V | undefined>, name: string, value: V) {
    this.#base = base;
    this.#name = name;
    this.#value = value;
  }

  /**
   * `map`, which nobody writes to any more and which has `name`. Replacing the same name again goes no deeper, and what
   * was replaced is not held on to.
   */
  static of<V>(map: ReadonlyMap<string, V>, name: string, value: V): ReplacedValue<V> {
    if (map instanceof ReplacedValue && map.#name === name) return new ReplacedValue(map.#base, name, value);
    return new ReplacedValue(new Map<string, V | undefined>(map).set(name, undefined), name, value);
  }

  get size(): number {
    return this.#base.size;
  }
  get(name: string): V | undefined {
    return name === this.#name ? this.#value : this.#base.get(name);
  }
  has(name: string): boolean {
    return this.#base.has(name);
  }
  keys(): MapIterator<string> {
    return this.#base.keys();
  }
  *entries(): MapIterator<[string, V]> {
    for (const name of this.#base.keys()) yield [name, this.get(name) as V];
  }
  *values(): MapIterator<V> {
    for (const name of this.#base.keys()) yield this.get(name) as V;
  }
  forEach(visit: (value: V, name: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [name, value] of this.entries()) visit(value, name, this);
  }
  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }
}

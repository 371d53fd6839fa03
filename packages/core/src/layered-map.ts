/** Several maps with distinct keys read as one, without copying: what many proxies share, and what is one proxy's own. */
export class LayeredMap<K, V> implements ReadonlyMap<K, V> {
  /** None is empty; two at least. */
  readonly layers: readonly ReadonlyMap<K, V>[];

  private constructor(layers: readonly ReadonlyMap<K, V>[]) {
    this.layers = layers;
  }

  /** The one map itself where only one has something in it. */
  static of<K, V>(...maps: readonly ReadonlyMap<K, V>[]): ReadonlyMap<K, V> {
    const layers = maps.filter(({ size }) => size > 0);
    const [only, more] = layers;
    return only && !more ? only : new LayeredMap(layers);
  }

  get size(): number {
    let sum = 0;
    for (const { size } of this.layers) sum += size;
    return sum;
  }
  get(key: K): V | undefined {
    for (const layer of this.layers) {
      const value = layer.get(key);
      if (value !== undefined || layer.has(key)) return value;
    }
    return undefined;
  }
  has(key: K): boolean {
    return this.layers.some((layer) => layer.has(key));
  }
  forEach(visit: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) visit(value, key, this);
  }
  *entries(): MapIterator<[K, V]> {
    for (const layer of this.layers) yield* layer.entries();
  }
  *keys(): MapIterator<K> {
    for (const layer of this.layers) yield* layer.keys();
  }
  *values(): MapIterator<V> {
    for (const layer of this.layers) yield* layer.values();
  }
  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }
}

/** Several maps with distinct keys read as one, without copying: what many proxies share, and what is one proxy's own. */
export const layeredMap = <K, V>(...layers: readonly ReadonlyMap<K, V>[]): ReadonlyMap<K, V> => {
  const parts = layers.filter((layer) => layer.size > 0);
  const [only, more] = parts;
  if (only && !more) return only;
  const entries = function* (): MapIterator<[K, V]> {
    for (const part of parts) yield* part.entries();
  };
  const keys = function* (): MapIterator<K> {
    for (const part of parts) yield* part.keys();
  };
  const values = function* (): MapIterator<V> {
    for (const part of parts) yield* part.values();
  };
  const map: ReadonlyMap<K, V> = {
    get size() {
      return parts.reduce((sum, part) => sum + part.size, 0);
    },
    get: (key) => parts.find((part) => part.has(key))?.get(key),
    has: (key) => parts.some((part) => part.has(key)),
    forEach(visit) {
      for (const [key, value] of entries()) visit(value, key, map);
    },
    entries,
    keys,
    values,
    [Symbol.iterator]: entries,
  };
  return map;
};

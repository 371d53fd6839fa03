import assert from "node:assert/strict";
import { test } from "node:test";
import { mersenneTwister } from "./mersenne-twister.ts";
import { murmurHash2 } from "./murmur-hash.ts";

test("the generator's ten thousandth number from the usual seed is the one that C++ prescribes", () => {
  const next = mersenneTwister(5489);
  let value = 0;
  for (let i = 0; i < 10_000; i++) value = next();
  assert.equal(value, 4_123_659_995);
});

test("equal seeds give equal sequences, other seeds others", () => {
  const take = (seed: number): number[] => Array.from({ length: 700 }, mersenneTwister(seed));
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
});

test("murmur hashes texts of every length apart, in 64 bits", () => {
  const hashes = new Set<bigint>();
  for (let length = 0; length < 40; length++) {
    const hash = murmurHash2("127.0.0.1:80_0123456789abcdefghijklmnopqrstuvwxyz".slice(0, length));
    assert.ok(hash >= 0n && hash < 1n << 64n);
    hashes.add(hash);
  }
  assert.equal(hashes.size, 40);
});
